"""Pictures of programs at the command line, from Matplotlib to the terminal or the file."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping

import pytest

from .commands import Commands
from .graphics import iterm2_pictures, kitty_pictures, without_pictures
from .terminal import plain
from .tmux import Tmux, open_tmux

PLOT = """
import matplotlib.pyplot as plt
print("before", end="")
plt.figure(figsize=(3, 2))
plt.plot([1, 3, 2])
plt.show()
print("after")
"""
PICTURE = """
import backendai_display
print("10%\\r50%", end="")
backendai_display.show("image/png", b"\\x89PNG\\r\\n\\x1a\\n" + bytes(5000))
print("\\x1b[2K\\rdone")
"""
CONTENT = b"\x89PNG\r\n\x1a\n" + bytes(5000)


@pytest.fixture
def plot(commands: Commands) -> str:
    """A script that draws a figure of 300 by 200 pixels."""
    (commands.work / "plot.py").write_text(PLOT)
    return "plot.py"


@pytest.fixture
def picture(commands: Commands) -> str:
    """A script that shows `CONTENT` within a line."""
    (commands.work / "picture.py").write_text(PICTURE)
    return "picture.py"


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height of a PNG, in pixels."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n") and content.endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def files(commands: Commands) -> list[str]:
    return sorted(path.name for path in commands.work.iterdir() if path.suffix != ".py")


# --- Matplotlib ----------------------------------------------------------------------------------


def test_plot_in_a_pipe(commands: Commands, plot: str) -> None:
    done = commands.run("run", "python", plot)
    assert (done.code, done.stdout) == (0, b"beforeafter\n")
    assert "∙ Saved image/png: picture-1.png\n" in done.stderr
    assert files(commands) == ["picture-1.png"]
    assert size_of((commands.work / "picture-1.png").read_bytes()) == (300, 200)


def test_plot_in_kitty(commands: Commands, plot: str) -> None:
    with commands.terminal("run", "-q", "python", plot, env={"TERM": "xterm-kitty"}) as run:
        assert run.wait() == 0
    (content,) = kitty_pictures(run.written["stdout"])
    assert size_of(content) == (300, 200)
    rest = without_pictures(run.written["stdout"]).decode()
    assert plain(rest).replace("\r", "") == "before\n\nafter\n"
    assert files(commands) == []


@pytest.fixture
def tmux(
    commands: Commands, served: Mapping[str, str], installed: Callable[..., str]
) -> Iterator[Tmux]:
    """A window whose shell was started in kitty, and finds the commands and a gateway."""
    folder = commands.argv()[0].rpartition("/")[0]
    env = commands.env | served | {"PATH": f"{folder}:{commands.env['PATH']}"}
    with open_tmux(installed("tmux"), env | {"TERM": "xterm-kitty"}, commands.work) as opened:
        yield opened


def test_plot_in_tmux(commands: Commands, plot: str, tmux: Tmux) -> None:
    tmux.enter(f"backend.ai run -q python {plot}; echo code: $?")
    tmux.shows("code: 0")
    assert "Saved image/png: picture-1.png" in tmux.everything()
    assert size_of((commands.work / "picture-1.png").read_bytes()) == (300, 200)


def test_plot_at_a_prompt(commands: Commands, served: Mapping[str, str]) -> None:
    lines = b"import matplotlib.pyplot as plt\nl = plt.plot([1, 2])\nplt.show()\nprint('on')\n"
    done = commands.run("repl", "-q", "python", "--media-dir", "new", stdin=lines, env=served)
    assert (done.code, done.stdout) == (0, b"on\n")
    assert size_of((commands.work / "new" / "picture-1.png").read_bytes()) == (640, 480)


# --- terminals and options -----------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--tty",)])
def test_picture_within_a_line(
    commands: Commands, picture: str, served: Mapping[str, str], options: tuple[str, ...]
) -> None:
    env = served | {"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}
    with commands.terminal("run", "-q", *options, "python", picture, env=env) as run:
        assert run.wait() == 0
    assert iterm2_pictures(run.written["stdout"]) == [CONTENT]
    rest = without_pictures(run.written["stdout"])
    assert rest == b"10%\r50%\r\n\r\n\x1b[2K\rdone\r\n"
    assert files(commands) == []


@pytest.mark.parametrize(
    ("options", "term"), [((), "dumb"), ((), "xterm"), (("--media", "save"), "xterm-kitty")]
)
def test_picture_that_is_saved(
    commands: Commands,
    picture: str,
    served: Mapping[str, str],
    options: tuple[str, ...],
    term: str,
) -> None:
    with commands.terminal(
        "run", "-q", *options, "python", picture, env=served | {"TERM": term}
    ) as run:
        assert run.wait() == 0
    assert b"\x1b_G" not in run.written["stdout"]
    assert "50%\n∙ Saved image/png: picture-1.png\n" in run.text()
    assert (commands.work / "picture-1.png").read_bytes() == CONTENT


def test_output_in_a_pipe_is_unchanged(
    commands: Commands, picture: str, served: Mapping[str, str]
) -> None:
    """Nor does a terminal beside it count."""
    (commands.work / "picture-1.png").write_bytes(b"mine")
    env = served | {"TERM": "xterm-kitty"}
    done = commands.run("run", "-q", "python", picture, "--media", "kitty", env=env)
    assert (done.code, done.stdout) == (0, b"10%\r50%\x1b[2K\rdone\n")
    assert done.stderr == "∙ Saved image/png: picture-2.png\n"
    assert (commands.work / "picture-1.png").read_bytes() == b"mine"
    done = commands.run("run", "python", picture, "--media", "skip", env=env)
    assert "∙ Skipped image/png (5,008 bytes).\n" in done.stderr
    assert files(commands) == ["picture-1.png", "picture-2.png"]


def test_exec(commands: Commands, picture: str, served: Mapping[str, str]) -> None:
    done = commands.run("run", "-t", "lab1", "python", picture, "--media", "skip", env=served)
    assert done.code == 0
    done = commands.run(
        "exec", "--media-dir", "pictures", "lab1", "python", "picture.py", env=served
    )
    assert done.stderr == "∙ Saved image/png: pictures/picture-1.png\n"
    assert (commands.work / "pictures" / "picture-1.png").read_bytes() == CONTENT
    assert commands.run("rm", "lab1", env=served).code == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--media-dir", ""), "the path is empty"),
        (("--media-dir", "picture.py"), "is a file"),
        (("--media", "ascii"), "is not one of"),
    ],
)
def test_options_that_are_refused(
    commands: Commands, picture: str, options: tuple[str, ...], problem: str
) -> None:
    assert problem in commands.run("run", "python", picture, *options).problem(125)


def test_current_folder_that_was_deleted(commands: Commands, served: Mapping[str, str]) -> None:
    code = "import backendai_display as d; d.show('image/png', b''); print('on')"
    script = f'mkdir gone; cd gone; rmdir ../gone; backend.ai run -q python -c "{code}"'
    done = commands.shell(script, env=served)
    assert (done.code, done.stdout) == (0, b"on\n")
    assert done.stderr.startswith("! Cannot save image/png in the folder .: No such file")
    assert done.stderr.count("\n") == 1
