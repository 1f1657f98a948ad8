"""Pictures in terminals that draw sixel, and in others that are asked; repeated updates."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image

from .commands import Commands
from .graphics import sixel_pictures, without_pictures
from .terminal import Running
from .tmux import open_tmux

QUESTION = b"\x1b[c"
SIXEL = "\x1b[?62;4;22c"
HINT = "pip install 'backendai-trio[sixel]'"

ONCE = """
backendai_display.show("image/png", RED)
"""
TWICE = ONCE + ONCE
CONVERSATION = """
print("got", input("name? "), flush=True)
backendai_display.show("image/png", RED)
print("got", input("more? "))
"""
PROGRESS = """
for done in (1, 2):
    sys.stderr.write(f"\\r{done}/2 |{'#' * done}")
    sys.stderr.flush()
backendai_display.show("image/png", RED)
sys.stderr.write("\\r3/2\\n")
sys.stderr.flush()
print("50%\\rdone")
"""
CLEARED = """
def clear_output():  # as IPython.display has it for programs outside of a notebook
    print("\\033[2K\\r", end="")
for number in range(2):
    print("drawing", end="", flush=True)
    clear_output()
    backendai_display.show("image/png", RED)
print("done")
"""
PROGRAMS = {
    "once": ONCE,
    "twice": TWICE,
    "talk": CONVERSATION,
    "progress": PROGRESS,
    "cleared": CLEARED,
}


def red() -> bytes:
    """A picture of 40 by 20 pixels."""
    file = io.BytesIO()
    Image.new("RGB", (40, 20), (255, 0, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def work(commands: Commands, served: Mapping[str, str]) -> Commands:
    """Where there are programs that show the picture."""
    for name, source in PROGRAMS.items():
        head = f"import backendai_display, sys\nRED = {red()!r}"
        (commands.work / f"{name}.py").write_text(head + source)
    commands.env |= served
    return commands


def saved(commands: Commands) -> list[str]:
    return sorted(path.name for path in commands.work.glob("picture-*"))


def answer_in_advance(run: Running) -> None:
    """Answer before the question: no time limit depends on how busy the machine is then."""
    run.send(SIXEL)


def test_terminal_that_draws(work: Commands) -> None:
    arguments = ("run", "-q", "python", "twice.py")
    with work.terminal(*arguments) as run:
        answer_in_advance(run)
        before = run.modes()
        assert run.wait() == 0
        assert run.modes() == before
    written = run.written["stdout"]
    pictures = sixel_pictures(written)
    assert [picture.size for picture in pictures] == [(40, 20)] * 2
    assert set(pictures[0].pixels.values()) == {(100, 0, 0)} and len(pictures[0].pixels) == 800
    assert written.count(QUESTION) == 1
    assert saved(work) == []


def test_input_around_the_question(work: Commands) -> None:
    """The answer is no input of the program; what is typed before and after it is."""
    with work.terminal("run", "-q", "python", "talk.py") as run:
        run.expect("name? ")
        run.send("ann\n")
        run.expect("got ann")
        run.send(f"b{SIXEL}o")
        run.expect("\x1b\\")  # the end of the picture
        run.send("b\n")
        run.expect("got bob")
        assert run.wait() == 0
    assert len(sixel_pictures(run.written["stdout"])) == 1


def test_prompt(work: Commands) -> None:
    """In `repl`, keys that came with the answer are typed at the next prompt."""
    with work.terminal("repl", "-q", "python") as run:
        run.expect(">>>")
        run.send(f"import backendai_display as d; c = bytes.fromhex('{red().hex()}')\r")
        run.expect(">>>")
        run.send("_ = input('press'); d.show('image/png', c)\r")
        run.expect("\x1b[?2004lpress")  # the editor has ended
        run.send(f"\n{SIXEL}print(6 * 7)\n")
        run.expect("\x1b\\")
        run.expect("42\r\n")
        run.send("exit\r")
        assert run.wait() == 0


def test_picture_is_shrunk_to_the_window(work: Commands) -> None:
    window = (24, 80, 20, 400)
    with work.terminal("run", "-q", "--media", "sixel", "python", "once.py", window=window) as run:
        assert run.wait() == 0
    written = run.written["stdout"]
    assert [picture.size for picture in sixel_pictures(written)] == [(20, 10)]
    assert QUESTION not in written, "the option says it"


@pytest.mark.parametrize("answer", ["", "\x1b[?62;22c"])
def test_terminal_that_does_not_draw(work: Commands, answer: str) -> None:
    with work.terminal("run", "-q", "python", "twice.py") as run:
        run.send(answer)
        assert run.wait() == 0
    assert saved(work) == ["picture-1.png", "picture-2.png"]
    assert run.written["stdout"].count(QUESTION) == 1
    assert HINT not in run.text()


@pytest.mark.parametrize("options", [(), ("--tty",)])
def test_answer_after_the_picture_was_saved(work: Commands, options: tuple[str, ...]) -> None:
    """It is no input of the program either."""
    with work.terminal("run", "-q", *options, "python", "talk.py") as run:
        run.expect("name? ")
        run.send("ann\n")
        run.expect("picture-1.png")
        run.expect("more? ")
        run.send(f"b{SIXEL}ob\n")
        run.expect("got bob")
        assert run.wait() == 0


@pytest.mark.parametrize(
    ("options", "env"),
    [
        (("--media", "save"), {}),
        ((), {"TERM": "dumb"}),
        ((), {"TERM": "xterm-kitty"}),
    ],
)
def test_terminal_that_is_not_asked(
    work: Commands, options: tuple[str, ...], env: Mapping[str, str]
) -> None:
    with work.terminal("run", "-q", *options, "python", "once.py", env=env) as run:
        assert run.wait() == 0
    assert QUESTION not in run.written["stdout"]


def test_other_media_are_no_reason_to_ask(work: Commands) -> None:
    code = "import backendai_display as d; d.show('image/svg+xml', b'<svg/>')"
    with work.terminal("run", "-q", "python", "-c", code) as run:
        assert run.wait() == 0
    assert QUESTION not in run.written["stdout"]


def test_without_the_extra(work: Commands) -> None:
    hidden = work.work / "hidden" / "textual_image"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").touch()
    env = {"PYTHONPATH": str(hidden.parent)}
    with work.terminal("run", "python", "twice.py", env=env) as run:
        answer_in_advance(run)
        assert run.wait() == 0
    assert saved(work) == ["picture-1.png", "picture-2.png"]
    assert run.text().count(HINT) == 1
    assert f"∙ This terminal can show pictures: {HINT}\n" in run.text()


def test_tmux(work: Commands, installed: Callable[..., str], tmp_path: Path) -> None:
    """Tmux answers by itself. Its releases before 3.4 draw nothing."""
    folder = work.argv()[0].rpartition("/")[0]
    env = work.env | {"PATH": f"{folder}:{work.env['PATH']}"}
    with open_tmux(installed("tmux"), env, work.work) as tmux:
        tmux.enter("backend.ai run -q python once.py; echo code: $?")
        tmux.shows("code: 0")
        drawn = "Saved image/png" not in tmux.everything()
    assert saved(work) == ([] if drawn else ["picture-1.png"])


# --- repeated updates ----------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["progress", "cleared"])
def test_updates_in_a_pipe(work: Commands, source: str) -> None:
    done = work.run("run", "-q", "python", f"{source}.py")
    assert done.code == 0
    if source == "progress":
        assert done.stdout == b"50%\rdone\n"
        assert done.stderr.replace("∙ Saved image/png: picture-1.png\n", "") == (
            "\r1/2 |#\r2/2 |##\r3/2\n"
        )
    else:
        assert done.stdout == b"drawing\x1b[2K\r" * 2 + b"done\n"


def test_picture_after_a_progress_bar(work: Commands) -> None:
    """It begins on a line of its own, and the bar goes on below."""
    with work.terminal("run", "-q", "--media", "sixel", "python", "progress.py") as run:
        assert run.wait() == 0
    written = run.written["stdout"]
    assert len(sixel_pictures(written)) == 1
    before, _, after = written.partition(b"\x1bP")
    assert before == b"\r1/2 |#\r2/2 |##\r\n"
    assert without_pictures(b"\x1bP" + after) == b"\r\n\r3/2\r\n50%\rdone\r\n"


def test_picture_after_clear_output(work: Commands) -> None:
    """It takes the place of the line that was erased."""
    with work.terminal("run", "-q", "--media", "sixel", "python", "cleared.py") as run:
        assert run.wait() == 0
    written = run.written["stdout"]
    assert len(sixel_pictures(written)) == 2
    assert without_pictures(written) == b"drawing\x1b[2K\r\r\n" * 2 + b"done\r\n"
