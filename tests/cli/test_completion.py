"""Completion: what a shell is told, and what the Tab key does in each of them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from backendai_cli.main import _COMMANDS

from .commands import Commands
from .tmux import open_tmux

#: How to start each without anybody's settings, and to load the completion as the help says.
SHELLS = {
    "bash": ("bash --noprofile --norc", 'eval "$(backend.ai completion bash)"'),
    "zsh": ("zsh -f", 'eval "$(backend.ai completion zsh)"'),
    "fish": ("fish --no-config", "backend.ai completion fish | source"),
}


def completions(commands: Commands, *words: str) -> list[str]:
    """What bash is told for the last of these words."""
    env = {
        "_BACKEND_AI_COMPLETE": "bash_complete",
        "COMP_WORDS": "\n".join(("backend.ai", *words)),
        "COMP_CWORD": f"{len(words)}",
    }
    result = commands.run(env=env)
    return [line.partition(",")[2] for line in result.text.splitlines()]


def test_completion(commands: Commands) -> None:
    assert completions(commands, "") == sorted(_COMMANDS)
    assert completions(commands, "ser") == ["serve"]
    assert completions(commands, "--pro") == ["--profile"]
    assert completions(commands, "run", "--max-p") == ["--max-parallel"]
    assert set(completions(commands, "config", "set", "s")) == {
        "secret_key",
        "skip_sslcert_validation",
    }


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts(commands: Commands, shell: str) -> None:
    result = commands.run("completion", shell)
    assert (result.code, result.stderr) == (0, "")
    for program in ("backend.ai", "lcc", "lpython"):
        assert re.search(rf"{re.escape(program)}$", result.text, re.MULTILINE) or (
            f"--command {program} " in result.text
        )


@pytest.mark.parametrize("shell", SHELLS)
def test_the_tab_key(commands: Commands, installed: Callable[..., str], shell: str) -> None:
    """A command, an option of it and a file are completed, and what has come about is right."""
    start, load = SHELLS[shell]
    path = f"{commands.argv()[0].rpartition('/')[0]}:{commands.env['PATH']}"
    env = commands.env | {"PATH": path, "TERM": "screen-256color"}
    (commands.work / "greeting.c").touch()
    installed(shell)
    with open_tmux(installed("tmux"), env, commands.work) as tmux:
        tmux.enter(f"exec {start}")
        tmux.enter(f"{load}; echo load''ed")
        tmux.shows("\nloaded")
        tmux.type("backend.ai ser")
        tmux.press("Tab")
        tmux.shows("backend.ai serve")
        tmux.type("--folder")
        tmux.press("Tab")
        tmux.shows("backend.ai serve --folder-quota")
        tmux.enter("5 --help")  # the space behind a word that is complete is the shell's
        tmux.shows("Show this message and exit.")  # not "no such option"
        tmux.type("lcc --max-p")
        tmux.press("Tab")
        tmux.shows("lcc --max-parallel")
        tmux.type("5 gree")
        tmux.press("Tab")
        tmux.shows("--max-parallel 5 greeting.c")
