"""The commands as a person at a terminal sees them: what is on the screen, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from .commands import Commands
from .tmux import PROMPT, Tmux, open_tmux

ASK = """
import getpass
name = input("name? ")
secret = getpass.getpass("secret? ")
print(f"hello {name}, of {len(secret)} letters")
"""


@pytest.fixture
def tmux(
    commands: Commands, served: Mapping[str, str], installed: Callable[..., str]
) -> Iterator[Tmux]:
    """A window whose shell finds the commands, and those a gateway."""
    backend_ai = commands.argv()[0]
    path = f"{backend_ai.rpartition('/')[0]}:{commands.env['PATH']}"
    env = commands.env | served | {"PATH": path, "TERM": "screen-256color"}
    with open_tmux(installed("tmux"), env, commands.work) as opened:
        yield opened


def test_prompts_and_a_password(commands: Commands, tmux: Tmux) -> None:
    (commands.work / "ask.py").write_text(ASK)
    tmux.enter("backend.ai run python ask.py")
    tmux.shows("name?")
    tmux.enter("LABLUP")
    tmux.shows("name? LABLUP")
    tmux.shows("secret?")
    tmux.hides_typing()  # some milliseconds later
    tmux.enter("never-to-be-seen")
    tmux.shows("hello LABLUP, of 16 letters")
    tmux.shows_prompt()
    assert "never-to-be-seen" not in tmux.everything()
    # The terminal shows what is typed again.
    tmux.enter("echo vis''ible")
    tmux.shows("visible")


@pytest.mark.parametrize("command", ["config set secret_key", "run -q python ask.py"])
def test_stopped_at_a_password(commands: Commands, tmux: Tmux, command: str) -> None:
    """The local shell shows what is typed meanwhile; what goes on after it does not."""
    (commands.work / "ask.py").write_text(
        "import getpass\nprint(len(getpass.getpass('secret_key: ')))"
    )
    tmux.enter(f"PS1='{PROMPT} ' exec bash --norc -i")
    tmux.enter(f"clear; backend.ai {command}")
    tmux.shows("secret_key:")
    tmux.hides_typing()
    tmux.press("C-z")
    tmux.shows("Stopped")
    tmux.enter("echo vis''ible")
    tmux.shows("visible")
    tmux.enter("fg")
    tmux.hides_typing()
    tmux.enter("never-to-be-seen-0123456789-abcdefghijkl")
    tmux.shows_prompt()
    assert "never-to-be-seen" not in tmux.everything()
    tmux.enter("echo again vis''ible")
    tmux.shows("again visible")


def test_shell_with_full_screen_programs(
    commands: Commands, tmux: Tmux, installed: Callable[..., str]
) -> None:
    vim = installed("vim", "vim.tiny", "vi")
    tmux.enter("backend.ai shell bash -t lab1")
    tmux.shows("work")  # the prompt of the kernel's shell
    tmux.enter("PS1='remo''te> '; mine=kept")
    tmux.shows("remote>")
    tmux.enter("stty size")
    tmux.shows("24 80")

    tmux.resize(30, 100)
    tmux.enter("until [ \"$(stty size)\" = '30 100' ]; do :; done; echo it-is-$(stty size)")
    tmux.shows("it-is-30 100")

    tmux.enter(f"{vim} -u NONE -N note.txt")
    tmux.shows("~\n~\n~")  # lines beyond the end of the file
    assert "remote>" not in tmux.screen()
    tmux.type("ione line\rand another")
    tmux.shows("one line\nand another\n~")
    tmux.press("Escape")
    tmux.enter(":wq")
    tmux.shows("remote>")  # the screen is the shell's again
    tmux.enter("clear; cat -n note.txt")
    tmux.shows("1  one line\n     2  and another\n")

    tmux.press("C-]")
    tmux.shows("backend.ai attach lab1")
    tmux.shows_prompt()
    tmux.enter("clear; backend.ai attach lab1")
    tmux.shows("and another\nremote>")  # what was there before, shown again
    tmux.enter("echo $mine-va''lue")
    tmux.shows("kept-value")
    tmux.enter("exit 3")
    tmux.shows_prompt()
    tmux.enter("echo sta''tus $?")
    tmux.shows("status 3")


def test_repl(tmux: Tmux) -> None:
    tmux.enter("backend.ai repl -q python")
    tmux.shows(">>>")
    tmux.enter("import os")
    tmux.shows(">>> import os\n>>>")
    tmux.type("os.path.isab")
    tmux.press("Tab")
    tmux.shows(">>> os.path.isabs")
    tmux.enter("('/')")
    tmux.shows("True\n>>>")
    tmux.type("os.path.i")
    tmux.press("Tab")
    tmux.shows("ismount")  # one of several
    tmux.press("C-c")
    tmux.enter("1 + 1")
    tmux.shows(">>> 1 + 1\n2\n>>>")
    tmux.press("C-d")
    tmux.shows_prompt()
