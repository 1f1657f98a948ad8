"""`backend.ai help` at a terminal, where long texts are shown in a pager."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from .commands import Commands
from .terminal import eventually, on_terminal
from .tmux import Tmux, open_tmux

Open = Callable[[Mapping[str, str]], AbstractContextManager[Tmux]]

LAST = "Manage virtual folders, which outlive kernels."
"""The end of the help of `backend.ai`, which is longer than a window of 24 lines."""


@pytest.fixture
def opened(commands: Commands, installed: Callable[..., str]) -> Open:
    """Opens a window whose shell finds the commands, with further variables."""

    @contextmanager
    def opening(variables: Mapping[str, str]) -> Iterator[Tmux]:
        path = f"{commands.argv()[0].rpartition('/')[0]}:{commands.env['PATH']}"
        env = commands.env | {"PATH": path, "TERM": "screen-256color"} | variables
        with open_tmux(installed("tmux"), env, commands.work) as tmux:
            yield tmux

    return opening


def writing_pager(folder: Path) -> str:
    """A pager that writes a file: what it got."""
    script = folder / "a pager"
    script.write_text('#!/bin/sh\necho paged\nexec cat >"$1"\n')
    script.chmod(0o755)
    return f"{shlex.quote(str(script))} 'the text'"


def on_a_terminal(commands: Commands, *arguments: str, **variables: str) -> str:
    """What a command prints on a terminal of 24 lines of 80 columns."""
    env = commands.env | variables
    with on_terminal(
        commands.argv(*arguments), env=env, cwd=commands.work, window=(24, 80)
    ) as running:
        assert running.wait() == 0
        return running.text()


def goes_to_the_end(tmux: Tmux) -> bool:
    """Press the key of `less` for it; whether the text moves within a second."""
    tmux.type("G")
    return eventually(lambda: LAST in tmux.screen(), seconds=1)


def test_long_help(opened: Open, installed: Callable[..., str]) -> None:
    installed("less")
    with opened({}) as tmux:
        tmux.enter("backend.ai help")
        tmux.shows("\n:")  # the prompt of `less`
        assert "Usage: backend.ai" in tmux.screen()
        assert LAST not in tmux.screen()
        tmux.press("C-c")  # ends no `less`, which forgets keys that are pressed just after it
        assert eventually(lambda: goes_to_the_end(tmux)), tmux.screen()
        tmux.press("q")
        tmux.shows_prompt()
        tmux.enter("echo code $?; stty -a | grep -o ' echo '")
        tmux.shows("code 0\n echo\n")


def test_short_help(opened: Open) -> None:
    with opened({}) as tmux:
        tmux.enter("backend.ai help logout")
        tmux.shows_prompt()
        assert "Usage: backend.ai logout" in tmux.screen()


def test_the_pager_of_the_user(commands: Commands) -> None:
    pager = writing_pager(commands.work)
    plain = commands.run("help", "run").text
    assert on_a_terminal(commands, "help", "run", PAGER=pager) == "paged\n"
    assert (commands.work / "the text").read_text() == plain
    assert plain == commands.run("run", "--help").text


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["help", "logout"], []],
    ids=" ".join,
)
def test_no_pager(commands: Commands, arguments: list[str]) -> None:
    """For what fits into the window, and for the option."""
    pager = writing_pager(commands.work)
    text = on_a_terminal(commands, *arguments, PAGER=pager)
    assert text == commands.run(*arguments).text
    assert not (commands.work / "the text").exists()


@pytest.mark.parametrize("redirected", ["| cat", "</dev/null", "> out; cat out"])
def test_no_pager_without_a_terminal(commands: Commands, redirected: str) -> None:
    pager = writing_pager(commands.work)
    program = shlex.quote(commands.argv()[0])
    call = ["/bin/sh", "-c", f"{program} help {redirected}"]
    env = commands.env | {"PAGER": pager}
    with on_terminal(call, env=env, cwd=commands.work, window=(24, 80)) as running:
        assert running.wait() == 0
        assert running.text() == commands.run("help").text


@pytest.mark.parametrize(
    "variables",
    [
        {"PAGER": "no-such-pager"},
        {"PAGER": "'less"},
        {"PAGER": "", "PATH": "/nowhere"},
        {"TERM": "dumb"},
    ],
    ids=str,
)
def test_no_pager_that_works(commands: Commands, variables: dict[str, str]) -> None:
    assert LAST in on_a_terminal(commands, "help", **variables)
