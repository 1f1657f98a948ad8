"""Copies: standard streams, names with colons, times, and what is left out."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from .commands import Commands, Result
from .kernel_files import Here

CONTENTS = [b"", b"text\n", bytes(range(256)) * 20_000]


@pytest.fixture
def here(commands: Commands, served: Mapping[str, str]) -> Here:
    return Here(commands, served)


@pytest.fixture(params=["gateway", "manager"])
def anywhere(
    request: pytest.FixtureRequest, commands: Commands, served: Mapping[str, str]
) -> Iterator[Here]:
    """Our gateway, and one with a manager's limits."""
    if request.param == "gateway":
        yield Here(commands, served)
        return
    with commands.serve("--manager-limits") as serving:
        port = serving.text("stderr").split("Serving on ")[1].split()[0].rpartition(":")[2]
        lines = commands.run("serve", "--manager-limits", "--port", port, "--print-env").text
        pairs = (line.removeprefix("export ").split("=", 1) for line in lines.splitlines())
        yield Here(commands, {name: value.strip("'\"") for name, value in pairs})


# --- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", CONTENTS, ids=["empty", "line", "large"])
def test_streams_of_a_kernel(here: Here, content: bytes) -> None:
    here("cp", "-", "lab1:a/b", stdin=content)
    assert (here.there / "a/b").read_bytes() == content
    assert here("cp", "lab1:a/b", "-").stdout == content
    here("upload", "lab1", "-", "--to", "c", stdin=content)
    assert here("download", "lab1", "c", "--dest", "-").stdout == content
    assert sorted(path.name for path in here.work.iterdir()) == []


def test_streams_of_a_manager(anywhere: Here) -> None:
    anywhere("cp", "-", "lab1:x", stdin=CONTENTS[1] * 9)
    assert anywhere("cp", "lab1:x", "-").stdout == CONTENTS[1] * 9


@pytest.mark.parametrize("content", CONTENTS, ids=["empty", "line", "large"])
def test_streams_of_a_virtual_folder(
    commands: Commands, served: Mapping[str, str], content: bytes
) -> None:
    assert commands.run("vfolder", "create", "data", env=served).code == 0
    upload = ["vfolder", "upload", "data", "-", "--to", "raw/x"]
    assert commands.run(*upload, stdin=content, env=served).code == 0
    result = commands.run("vfolder", "download", "data", "raw/x", "-b", "-", env=served)
    assert (result.code, result.stdout) == (0, content)
    for path in ("raw", "raw/", "."):
        folder = commands.run("-v", "vfolder", "download", "data", path, "-b", "-", env=served)
        assert (folder.code, folder.stdout) == (125, b"") and "is a folder" in folder.stderr
        assert "/download" not in folder.stderr  # none of its files
    missing = commands.run("vfolder", "download", "data", "no/x", "-b", "-", env=served)
    assert "'no' is not in the folder" in missing.problem(126)
    assert not [path for path in commands.tmp.iterdir() if "gateway" not in path.name]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["cp", "-", "lab1:"], "name the file"),
        (["cp", "-", "lab1:folder"], "name the file"),
        (["cp", "-", "lab1:new/"], "name the file"),
        (["cp", "-", "f", "lab1:folder"], "with other files"),
        (["cp", "lab1:f", "lab1:f", "-"], "only one file"),
        (["cp", "-r", "lab1:folder", "-"], "is a folder"),
        (["upload", "lab1", "-"], "--to NAME"),
        (["upload", "lab1", "-", "f", "--to", "x"], "together with other files"),
        (["upload", "lab1", "-", "--to", "x/"], "--to NAME"),
        (["download", "lab1", "f", "f", "--dest", "-"], "one file"),
        (["download", "lab1", "folder", "--dest", "-"], "is a folder"),
        (["cp", "--links", "keep", "-", "lab1:x"], "a copy of standard input takes no --links"),
        (["cp", "-p", "lab1:f", "-"], "a copy to - takes no --preserve"),
        (["cp", "--exclude=x", "lab1:f", "/dev/null"], "a copy to /dev/null takes no --exclude"),
        (["cp", "-r", "--links=skip", "lab1:folder", "new"], "a copy from a kernel takes no --l"),
        (["cp", "--exclude-ignored", "lab1:f", "new"], "takes no --exclude-ignored"),
        (["upload", "lab1", "-p", "-", "--to", "x"], "standard input takes no --preserve"),
        (["download", "lab1", "-p", "f", "--dest", "-"], "standard output takes no --preserve"),
        (["vfolder", "upload", "x", "-", "--to=x", "-b", "."], "input takes no --base-dir"),
        (["vfolder", "download", "x", "f", "-b", "-", "--links=skip"], "output takes no --links"),
        (["vfolder", "download", "x", "f", "--archive=f.zip", "-p"], "archive takes no --preserve"),
    ],
)
def test_what_is_no_stream(here: Here, arguments: list[str], problem: str) -> None:
    (here.there / "folder").mkdir()
    (here.there / "f").write_text("f")
    (here.work / "f").write_text("f")
    result = here(*arguments, code=125, stdin=b"x")
    assert problem in result.stderr and result.stdout == b""
    assert sorted(os.listdir(here.there)) == ["f", "folder"]


def test_a_file_called_dash(here: Here) -> None:
    (here.work / "-").write_text("dash")
    here("cp", "./-", "lab1:")
    assert here("cp", "lab1:-", "-").text == "dash"
    (here.work / "-").write_text("other")
    assert here("cp", "-f", "lab1:-", "./-").stdout == b""
    assert (here.work / "-").read_text() == "dash"
    here("upload", "lab1", "./-", "--to", "sub")
    assert (here.there / "sub/-").read_text() == "dash"
    (here.work / "-").unlink()
    assert here("download", "lab1", "sub/-", "--dest", "./-").stdout == b""
    assert (here.work / "-/-").read_text() == "dash"


def test_a_file_called_dash_in_a_virtual_folder(
    commands: Commands, served: Mapping[str, str]
) -> None:
    def vfolder(*arguments: str) -> Result:
        result = commands.run("vfolder", *arguments, env=served)
        assert result.code == 0, result.stderr
        return result

    vfolder("create", "data")
    (commands.work / "-").write_text("dash")
    vfolder("upload", "data", "./-", "--to", "sub")
    assert vfolder("download", "data", "sub/-", "-b", "-").text == "dash"
    (commands.work / "-").unlink()
    assert vfolder("download", "data", "sub/-", "-b", "./-").stdout == b""
    assert (commands.work / "-/-").read_text() == "dash"


def test_a_file_called_dash_that_is_run(here: Here) -> None:
    (here.work / "-").write_text("import sys\nprint(sys.argv[1:])\n")
    assert here("run", "-q", "python", "./-", "--", "a").text == "['a']\n"
    assert here("run", "-q", "python", "--", "./-", "a").text == "['a']\n"
    assert here("run", "-q", "python", "-", stdin=b"print('stream')").text == "stream\n"


@pytest.mark.parametrize("overwrite", [[], ["-f"]])
def test_pipes_and_devices_are_written_to(here: Here, overwrite: list[str]) -> None:
    (here.there / "f").write_text("content")
    os.mkfifo(here.work / "pipe")
    with subprocess.Popen(["cat", here.work / "pipe"], stdout=subprocess.PIPE) as reader:
        here("cp", *overwrite, "lab1:f", "pipe")
        assert reader.communicate()[0] == b"content"
    assert stat.S_ISFIFO((here.work / "pipe").lstat().st_mode)
    (here.work / "nowhere").symlink_to("/dev/null")
    here("cp", *overwrite, "lab1:f", "nowhere")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    (here.work / "full").symlink_to("/dev/full")
    assert "No space left" in here("cp", *overwrite, "lab1:f", "full", code=125).stderr


IN_THE_WAY = "a device, a pipe or a socket"


@pytest.fixture
def special(here: Here, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    """The kernel and a virtual folder have f, and the folder d here has a pipe and a socket."""
    (here.there / "f").write_text("content")
    (here.there / "tree/sub").mkdir(parents=True)
    (here.there / "tree/sub/f").write_text("content")
    here("vfolder", "create", "data")
    here("vfolder", "upload", "data", "-", "--to", "f", stdin=b"content")
    (here.work / "d/sub").mkdir(parents=True)
    (here.work / "tree/sub").mkdir(parents=True)
    for name in ("d/f", "tree/sub/f"):
        os.mkfifo(here.work / name)
    monkeypatch.chdir(here.work)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("d/socket")
        yield here


@pytest.mark.parametrize(
    "command",
    [
        "cp -f lab1:f d",
        "cp -f lab1:f d/socket",
        "cp -r -f lab1:tree .",
        "download -f lab1 f --dest d",
        "vfolder download -f data f -b d",
        "vfolder download -f data f --archive d/socket",
    ],
)
def test_what_is_no_file_is_not_replaced(special: Here, command: str) -> None:
    assert IN_THE_WAY in special(*command.split(), code=125).stderr
    for name in ("d/f", "tree/sub/f"):
        assert (special.work / name).is_fifo()
    assert (special.work / "d/socket").is_socket()
    assert sorted(os.listdir(special.work / "d")) == ["f", "socket", "sub"]


@pytest.mark.parametrize(
    "command",
    [
        "cp -f lab1:f link",
        "cp -f lab1:f -p link",
        "cp -f lab1:f dangling",
        "vfolder download -f data f --archive link",
    ],
)
def test_a_link_that_was_named_is_followed(special: Here, command: str) -> None:
    private, made = special.work / "d/sub/private", special.work / "d/sub/made"
    private.write_text("old")
    private.chmod(0o600)
    (special.work / "link").symlink_to("d/sub/private")
    (special.work / "dangling").symlink_to("d/sub/made")
    special(*command.split())
    assert (special.work / "link").is_symlink() and (special.work / "dangling").is_symlink()
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    if "dangling" in command:
        assert (made.read_text(), private.read_text()) == ("content", "old")
    else:
        assert private.read_bytes() != b"old" and not made.exists()


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x:y", "12:30:00.log", "C:", ":", "a b:c"])
def test_names_with_colons(anywhere: Here, name: str) -> None:
    (anywhere.work / name).write_text("colon")
    (anywhere.work / "d").mkdir()
    (anywhere.work / "d" / name).write_text("in a folder")
    anywhere("cp", f"./{name}", "lab1:")
    anywhere("cp", "-r", "d", "lab1:")
    assert (anywhere.there / name).read_text() == "colon"
    anywhere("cp", f"lab1:{name}", "back")
    anywhere("download", "lab1", name, "--dest", "other")
    assert (anywhere.work / "back").read_text() == "colon"
    assert (anywhere.work / "other" / name).read_text() == "colon"
    assert (anywhere.there / "d" / name).read_text() == "in a folder"


# --- times ---------------------------------------------------------------------------------------

TIMES = {"a": 0, "f": 1_000_000_000, "sub": 1_200_000_000, "sub/g": 1_100_000_000}


def times(folder: Path) -> dict[str, int]:
    """Times of modification, but for those of today."""
    found = {str(path.relative_to(folder)): path.lstat().st_mtime for path in folder.rglob("*")}
    return {name: int(when) for name, when in found.items() if when < 1_600_000_000}


@pytest.fixture
def old(commands: Commands) -> dict[str, int]:
    """A folder d with old files."""
    folder = commands.work / "d"
    (folder / "sub").mkdir(parents=True)
    for name in ("f", "sub/g"):
        (folder / name).write_text(name)
    expected = {"f": 1_000_000_000, "sub/g": 1_100_000_000, "sub": 1_200_000_000}
    for name, when in expected.items():
        os.utime(folder / name, (when, when))
    return expected


def test_times_are_kept(anywhere: Here, old: dict[str, int]) -> None:
    anywhere("cp", "-rp", "d", "lab1:d")
    assert times(anywhere.there / "d") == old
    anywhere("upload", "-p", "lab1", "d", "--to", "up")
    assert times(anywhere.there / "up/d") == old
    anywhere("sync", "-p", "d", "lab1:s")
    files = {name: when for name, when in old.items() if name != "sub"}
    assert times(anywhere.there / "s") == files
    anywhere("cp", "-rp", "lab1:d", "back")
    anywhere("download", "-p", "lab1", "d", "--dest", "down")
    assert times(anywhere.work / "back") == times(anywhere.work / "down/d") == old
    anywhere("cp", "-p", "lab1:d/f", "one")
    assert times(anywhere.work)["one"] == old["f"]


def test_times_are_those_of_the_copy_otherwise(anywhere: Here, old: dict[str, int]) -> None:
    anywhere("cp", "-r", "d", "lab1:d")
    anywhere("cp", "-rp", "d", "lab1:old")
    anywhere("cp", "-r", "lab1:old", "back")
    assert old and times(anywhere.there / "d") == times(anywhere.work / "back") == {}


def test_times_of_files_in_a_virtual_folder(commands: Commands, served: Mapping[str, str]) -> None:
    (commands.work / "f").write_text("f")
    for arguments in (["create", "data"], ["upload", "data", "f"]):
        assert commands.run("vfolder", *arguments, env=served).code == 0
    (stored,) = commands.home.rglob("f")
    os.utime(stored, (1_000_000_000, 1_000_000_000))
    for options, expected in (([], {}), (["-p"], {"f": 1_000_000_000})):
        arguments = ["vfolder", "download", "data", "f", *options, "-b", f"to{len(options)}"]
        assert commands.run(*arguments, env=served).code == 0
        assert times(commands.work / f"to{len(options)}") == expected


# --- what is left out ----------------------------------------------------------------------------


@pytest.fixture
def project(commands: Commands) -> Path:
    """A folder p with things that nobody wants to send."""
    project = commands.work / "p"
    for name in ("a.py", "a.pyc", "lib/b.py", "lib/b.pyc", ".venv/bin/python", ".git/HEAD"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(name)
    (project / ".gitignore").write_text("*.pyc\n/.venv/\n")
    return project


def arrived(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


WAYS = [
    ["cp", "-r", "p", "lab1:p"],
    ["upload", "lab1", "p"],
    ["sync", "p", "lab1:p"],
]
SELECTIONS = [
    (["--exclude-ignored"], {".gitignore", "a.py", "lib/b.py"}, 4),
    (["--exclude", "*.pyc", "--exclude", "/.*"], {"a.py", "lib/b.py"}, 5),
    (["--exclude", "lib/", "--exclude-ignored"], {".gitignore", "a.py"}, 4),
    (["--exclude", "*", "--exclude", "!a.py"], {"a.py"}, 5),
]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("way", WAYS, ids=["cp", "upload", "sync"])
@pytest.mark.parametrize(("options", "expected", "count"), SELECTIONS)
def test_exclusions(
    here: Here, way: list[str], options: list[str], expected: set[str], count: int
) -> None:
    if "*" in options and way[0] != "sync":
        return  # the folder that is named is excluded as well
    result = here(*way, *options)
    assert arrived(here.there / "p") == expected
    assert f"Left out {count} excluded files or folders: p/" in result.stderr
    assert "Left out" not in here(*way, "-q", *options).stderr


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(("options", "expected", "count"), SELECTIONS[:3])
def test_exclusions_of_a_virtual_folder(
    commands: Commands,
    served: Mapping[str, str],
    options: list[str],
    expected: set[str],
    count: int,
) -> None:
    assert commands.run("vfolder", "create", "data", env=served).code == 0
    result = commands.run("vfolder", "upload", "data", "-r", "p", *options, env=served)
    assert result.code == 0 and f"Left out {count} " in result.stderr
    assert commands.run("vfolder", "download", "data", "p", "-b", "b", env=served).code == 0
    assert arrived(commands.work / "b/p") == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--exclude", "*.pyc"], {"a.py", "lib/b.py", ".venv/x"}),
        (["--exclude", "lib/b*", "--exclude", ".venv"], {"a.py", "a.pyc"}),
        (["--exclude", "/b.py"], {"a.py", "a.pyc", "lib/b.py", "lib/b.pyc", ".venv/x"}),
    ],
)
@pytest.mark.parametrize("target", ["new", "."])
def test_exclusions_of_a_download(
    anywhere: Here, options: list[str], expected: set[str], target: str
) -> None:
    for name in ("a.py", "a.pyc", "lib/b.py", "lib/b.pyc", ".venv/x"):
        (anywhere.there / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (anywhere.there / "p" / name).write_text(name)
    anywhere("cp", "-r", *options, "lab1:p", target)
    assert arrived(anywhere.work / ("new" if target == "new" else "p")) == expected


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("options", [["--exclude-ignored"], ["--exclude", "*.pyc"]])
def test_a_sync_that_deletes_leaves_excluded_files(here: Here, options: list[str]) -> None:
    for name in ("lib/kept.pyc", "lib/gone.py"):
        (here.there / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (here.there / "p" / name).write_text(name)
    assert "1 removed" in here("sync", "--delete", *options, "p", "lab1:p").stderr
    assert {"lib/kept.pyc", "lib/b.py"} <= arrived(here.there / "p")
    assert "lib/gone.py" not in arrived(here.there / "p")


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("arguments", [*WAYS, ["cp", "-r", "lab1:.", "x"]])
def test_a_malformed_pattern(here: Here, arguments: list[str]) -> None:
    assert "--exclude" in here(*arguments, "--exclude", "!", code=125).stderr
    assert arrived(here.there) == set() and not (here.work / "x").exists()


# --- a folder that is not there any more ---------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["cp -r . lab1:", "upload lab1 .", "sync . lab1:x", "cp f lab1:", "upload lab1 f"]
)
def test_a_removed_working_folder(here: Here, command: str) -> None:
    script = f"mkdir gone && cd gone && rmdir ../gone && backend.ai {command}"
    problem = here.commands.shell(script, env=here.env).problem(125)
    assert "removed" in problem or "No such file" in problem
    assert "Errno" not in problem
