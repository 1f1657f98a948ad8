"""Pictures of programs from files on servers that send only those of interpreters' code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from backendai_trio import GatewayOptions
from backendai_trio.gateway import PYTHON_PATH
from backendai_trio.testing import Reply, faulty_gateway_in_thread

from ..managers.lab.pythons import find_python
from .commands import ACCESS_KEY, SECRET_KEY, Commands, Result, variables_of
from .graphics import kitty_pictures, sixel_pictures, without_pictures
from .terminal import plain
from .test_media import CONTENT, PICTURE, PLOT, files, size_of

SKIP = "Let the program save pictures to files, or leave them out with --media skip."
TWO = """
import backendai_display, sys
backendai_display.show("image/png", b"first")
backendai_display.show("image/svg+xml", b"<svg/>")
print(sys.argv[1:], input())
sys.exit(3)
"""

SHOW_WORDS = """
import os, sys, backendai_display
for word in sys.argv[1:]:
    backendai_display.show("a/b", word.encode())
torn = os.path.join(os.environ["BACKENDAI_DISPLAY"], "000099.000")
open(torn, "wb").write(b"a/b 5\\n1")
"""


@pytest.fixture(params=["23.09", "26.9"])
def manager(commands: Commands, request: pytest.FixtureRequest) -> Iterator[Mapping[str, str]]:
    """A gateway in the manner of a manager."""
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    era = ("--era", request.param)
    with commands.serve("--access-key", ACCESS_KEY, *era, env=secret) as gateway:
        yield variables_of(gateway)


def run_main(commands: Commands, manager: Mapping[str, str], source: str, *options: str) -> Result:
    """Run a program called main.py."""
    (commands.work / "main.py").write_text(source)
    return commands.run("run", "-q", "python", "main.py", *options, env=manager)


def saved(commands: Commands, done: Result) -> list[bytes]:
    """The pictures of type ``a/b`` that a command says it has saved."""
    names = re.findall(r"∙ Saved a/b: (\S+)\n", done.stderr)
    return [(commands.work / name).read_bytes() for name in names]


def test_plots(commands: Commands, manager: Mapping[str, str]) -> None:
    (commands.work / "plot.py").write_text(PLOT)
    done = commands.run("run", "-q", "python", "plot.py", env=manager)
    assert (done.code, done.stdout) == (0, b"beforeafter\n")
    assert done.stderr == "∙ Saved image/png: picture-1.png\n"
    assert size_of((commands.work / "picture-1.png").read_bytes()) == (300, 200)
    env = manager | {"TERM": "xterm-kitty"}
    with commands.terminal("run", "-q", "python", "plot.py", env=env) as run:
        assert run.wait() == 0
    (content,) = kitty_pictures(run.written["stdout"])
    assert size_of(content) == (300, 200)
    rest = without_pictures(run.written["stdout"]).decode()
    assert plain(rest).replace("\r", "") == "beforeafter\n\n"
    assert files(commands) == ["picture-1.png"]


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (("main.py",), ("--", "a b")),
        (("plot two.py",), ("--", "a b")),
        (("main.py",), ("--exec", "python3 main.py", "--", "a b")),
    ],
)
def test_program_with_arguments_input_and_an_exit_code(
    commands: Commands,
    manager: Mapping[str, str],
    names: tuple[str, ...],
    options: tuple[str, ...],
) -> None:
    for name in names:
        (commands.work / name).write_text("")
    (commands.work / names[0]).write_text(TWO)
    done = commands.run("run", "-q", "python", *names, *options, stdin=b"typed\n", env=manager)
    assert (done.code, done.stdout) == (3, b"['a b'] typed\n")
    assert done.stderr.endswith(
        "∙ Saved image/png: picture-1.png\n∙ Saved image/svg+xml: picture-1.svg\n"
    )
    assert (commands.work / "picture-1.png").read_bytes() == b"first"
    assert (commands.work / "picture-1.svg").read_bytes() == b"<svg/>"


def test_runs_do_not_mix(commands: Commands, manager: Mapping[str, str]) -> None:
    """Pictures of other runs in a kernel are not shown, nor is one that was not written to its
    end; and nothing stays in a kernel that does."""
    for words in ((b"1", b"2"), (b"3",), ()):
        given = ["-t", "lab1", "--", *(word.decode() for word in words)]
        done = run_main(commands, manager, SHOW_WORDS, *given)
        assert (done.code, done.stdout) == (0, b"")
        assert saved(commands, done) == list(words)
    done = run_main(commands, manager, SHOW_WORDS, "-t", "lab1", "--build", "exit 4")
    assert done.code != 0 and "Saved" not in done.stderr
    listed = commands.run("exec", "lab1", "ls", "-a", env=manager)
    assert listed.code == 0 and "backendai-display" not in listed.text
    assert commands.run("rm", "lab1", env=manager).code == 0


def test_large_picture(commands: Commands, manager: Mapping[str, str]) -> None:
    """What is larger than downloads comes in parts; what is beyond all bounds is refused, as on
    our own gateway."""
    code = (
        "import backendai_display as d\n"
        "for n in 1 << 21, 2, (1 << 23) + 1:\n    d.show('a/b', bytes(n))\n"
    )
    done = run_main(commands, manager, code)
    assert done.code == 1
    assert "OSError: it has 8,388,609 bytes, and may have 8,388,608 at most\n" in done.stderr
    assert saved(commands, done) == [bytes(1 << 21), bytes(2)]


def test_download_that_fails(commands: Commands, manager: Mapping[str, str]) -> None:
    """The program has run, so only a warning tells of it."""
    code = (
        "import backendai_display as d\nd.show('image/png', b'1')\nd.show('image/png', b'2')\n"
        "import os\n"
        "path = os.path.join(os.environ['BACKENDAI_DISPLAY'], '000098.000')\n"
        "open(path, 'wb').write(bytes(1 << 21))\n"
    )
    done = run_main(commands, manager, f"{code}print('on')")
    assert (done.code, done.stdout) == (0, b"on\n")
    *said, warning = done.stderr.splitlines()
    assert said == [f"∙ Saved image/png: picture-{number}.png" for number in (1, 2)]
    assert warning.startswith("! Pictures of the program cannot be downloaded: ")
    assert warning.endswith(f". {SKIP}")


@pytest.mark.parametrize(
    ("done_to_it", "text"),
    [
        ("os.mkdir(f'{folder}/000001.000')", "1 picture"),
        ("os.symlink('/dev/zero', f'{folder}/000001.000')", "1 picture"),
        ("open(f'{folder}/000001.000', 'wb').truncate(10 << 20)", "1 picture"),
        ("open(f'{folder}/000001.000', 'wb').write(b'a/b 5\\n1')", "1 picture"),
        ("os.rename(folder, 'elsewhere')", "Pictures of the program cannot be "),
        ("open(f'{folder}/x.000', 'wb'); open(f'{folder}/1', 'wb')", ""),
        ("[open(f'{folder}/{n:06}.000', 'wb') for n in range(1001)]", "1,001 pictures"),
    ],
)
def test_hostile_programs(
    commands: Commands, manager: Mapping[str, str], done_to_it: str, text: str
) -> None:
    """They get a warning at most, and their exit code."""
    named = "import os  # not pandas\nfolder = os.environ['BACKENDAI_DISPLAY']\n"
    done = run_main(commands, manager, f"{named}{done_to_it}\nos._exit(3)")
    assert done.code == 3
    said = f"! {text} of the program left out: incomplete, " if "picture" in text else text
    assert said in done.stderr and done.stderr.count("\n") == bool(text), done.stderr


@pytest.mark.parametrize("mode", ["run", "run in a kernel that stays", "sweep"])
def test_modules_that_the_server_refuses(commands: Commands, mode: str) -> None:
    """The program runs nevertheless; so it does when the folder cannot be listed."""
    show = "import backendai_display; backendai_display.show('a/b', b'1')"
    label, options = ("N=a: ", ("--env-range", "N=case:a")) if mode == "sweep" else ("", ())
    if "stays" in mode:
        options = ("-t", "lab1")
    with faulty_gateway_in_thread(GatewayOptions(release="26.9")) as gateway:
        refused = Reply(500, b'{"title": "no room"}', "application/problem+json")
        gateway.network.inject(refused, matching="^POST .*/upload", skip=1)
        done = run_main(commands, gateway.environ, "# pandas\nprint('on')", *options)
        assert (done.code, done.text[-3:]) == (0, "on\n")
        assert f"! {label}Pictures of the program cannot be shown: " in done.stderr
        assert "no room" in done.stderr and SKIP in done.stderr
        gateway.network.clear()
        gateway.network.inject(refused, matching="^GET .*/files", times=None)
        done = run_main(commands, gateway.environ, show, *options)
        assert done.code == 0
        assert f"! {label}Pictures of the program cannot be downloaded: " in done.stderr
        assert "no room" in done.stderr and SKIP in done.stderr
        assert "stays in the kernel" not in done.stderr
        if "stays" in mode:
            gateway.network.clear()
            left = commands.run("ls", "lab1", env=gateway.environ)
            assert left.code == 0 and "backendai" not in left.text
            assert commands.run("rm", "lab1", env=gateway.environ).code == 0
        assert gateway.tokens() == []


def test_folder_that_cannot_be_removed(commands: Commands) -> None:
    show = "import backendai_display; backendai_display.show('a/b', b'1')"
    with faulty_gateway_in_thread(GatewayOptions(release="26.9")) as gateway:
        done = run_main(commands, gateway.environ, show, "-t", "lab1")
        assert saved(commands, done) == [b"1"] and "!" not in done.stderr
        # The first one runs the program, the second one removes the folder.
        refused = Reply(500, b'{"title": "no room"}', "application/problem+json")
        gateway.network.inject(refused, matching="/execute", skip=1, times=None)
        done = run_main(commands, gateway.environ, show, "-t", "lab1")
        assert done.code == 0 and saved(commands, done) == [b"1"]
        assert re.search(r"! the folder \.backendai-display-\S+ stays in the kernel: ", done.stderr)
        gateway.network.clear()
        assert commands.run("rm", "lab1", env=gateway.environ).code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_kept_kernel_keeps_no_pictures_of_a_run_that_ends_early(
    commands: Commands, manager: Mapping[str, str], number: signal.Signals
) -> None:
    (commands.work / "main.py").write_text(
        "import backendai_display as d\nd.show('a/b', b'1')\nprint('shown')\ninput()\n"
    )
    argv = ("run", "-q", "-t", "lab1", "python", "main.py")
    with commands.terminal(*argv, env=manager) as run:
        run.expect("shown")
        run.signal(number)
        assert run.wait() == 128 + number
    left = commands.run("ls", "lab1", env=manager)
    assert left.code == 0 and "main.py" in left.text and "backendai" not in left.text
    assert commands.run("rm", "lab1", env=manager).code == 0


@pytest.mark.parametrize("mime_type", ["a/b; charset=x", "", "a/" + "b" * 99, "a/b\n"])
def test_type_that_is_none(commands: Commands, manager: Mapping[str, str], mime_type: str) -> None:
    code = f"import backendai_display\nbackendai_display.show({mime_type!r}, b'')\n"
    done = run_main(commands, manager, code)
    assert done.code == 1 and "OSError: its MIME type or its size is malformed" in done.stderr


def test_terminal_is_asked_for_sixel(commands: Commands, manager: Mapping[str, str]) -> None:
    (commands.work / "plot.py").write_text(PLOT)
    with commands.terminal("run", "-q", "python", "plot.py", env=manager) as run:
        run.expect("\x1b[c")
        run.send("\x1b[?62;4c")
        assert run.wait() == 0
    (picture,) = sixel_pictures(run.written["stdout"])
    assert picture.size == (300, 200)
    assert files(commands) == []


def test_programs_that_are_left_alone(commands: Commands, manager: Mapping[str, str]) -> None:
    """Nothing is uploaded for those that show nothing, or whose pictures nobody wants."""
    look = "import os; print(sorted(os.listdir('.')))\n"
    done = run_main(commands, manager, look)
    assert (done.stdout, done.stderr) == (b"['main.py']\n", "")
    done = run_main(commands, manager, f"# import matplotlib\n{look}", "--media", "skip")
    assert (done.stdout, done.stderr) == (b"['main.py']\n", "")


def test_build_that_fails(commands: Commands, manager: Mapping[str, str]) -> None:
    done = run_main(commands, manager, PICTURE, "--build", "exit 4")
    assert done.code != 0
    assert files(commands) == [] and "!" not in done.stderr


def test_cases_of_a_sweep(commands: Commands, manager: Mapping[str, str]) -> None:
    (commands.work / "main.py").write_text(PICTURE)
    options = ("--env-range", "N=case:a,b", "--media-dir", "pictures")
    done = commands.run("run", "python", "main.py", *options, env=manager)
    assert done.code == 0
    assert sorted(re.findall(r"∙ N=(.): Saved image/png: pictures/", done.stderr)) == ["a", "b"]
    kept = list((commands.work / "pictures").iterdir())
    assert [path.read_bytes() for path in kept] == [CONTENT] * 2


@pytest.mark.parametrize("name", ["sitecustomize.py", "sitecustomize/__init__.py"])
def test_modules_on_the_pythons_of_images(tmp_path: Path, name: str) -> None:
    """Each that is here can start with them and runs the user's own; from 3.6 on they show."""
    users = tmp_path / "users" / name
    users.parent.mkdir(parents=True)
    users.write_text("print('mine')")
    code = "import backendai_display as d, sys\nif sys.version_info > (3, 6): d.show('a/b', b'c')"
    path = os.pathsep.join([PYTHON_PATH, str(tmp_path / "users")])
    for version in ("2.7", "3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13"):
        python = find_python(version)
        if python is None:
            continue
        folder = tmp_path / version
        folder.mkdir()
        env = {"PYTHONPATH": path, "BACKENDAI_DISPLAY": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        argv = [python, "-c", code]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "mine\n", ""), version
        kept = [path.read_bytes() for path in folder.iterdir()]
        assert kept == ([] if version == "2.7" else [b"a/b 1\nc"]), version


def test_two_copies_of_the_modules_beside_those_of_the_user(tmp_path: Path) -> None:
    """Each sitecustomize runs the one behind it, and the user's runs, too."""
    copy, users = tmp_path / "copy", tmp_path / "users"
    copy.mkdir()
    users.mkdir()
    text = Path(PYTHON_PATH, "sitecustomize.py").read_text()
    (copy / "sitecustomize.py").write_text(text)
    (users / "sitecustomize.py").write_text("print('mine')")
    for first, second in ((str(copy), PYTHON_PATH), (PYTHON_PATH, str(copy))):
        done = subprocess.run(
            [sys.executable, "-c", "print('on')"],
            env={"PYTHONPATH": f"{first}:{second}:{users}"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert (done.stdout, done.stderr) == ("mine\non\n", "")
