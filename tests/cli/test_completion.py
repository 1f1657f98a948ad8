"""Completion: what a shell is told, and what the Tab key does in each of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from backendai_cli.main import _COMMANDS

from .commands import Commands
from .tmux import Tmux, open_tmux

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


def in_a_window(commands: Commands) -> dict[str, str]:
    """An environment in which a shell finds the commands."""
    path = f"{commands.argv()[0].rpartition('/')[0]}:{commands.env['PATH']}"
    return commands.env | {"PATH": path, "TERM": "screen-256color"}


def press_tab(tmux: Tmux, commands: Commands) -> None:
    """A command, an option of it and a file are completed, and what has come about is right."""
    (commands.work / "greeting.c").touch()
    tmux.enter("echo rea''dy")
    tmux.shows("\nready")
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


@pytest.mark.parametrize("shell", SHELLS)
def test_the_tab_key(commands: Commands, installed: Callable[..., str], shell: str) -> None:
    start, load = SHELLS[shell]
    installed(shell)
    with open_tmux(installed("tmux"), in_a_window(commands), commands.work) as tmux:
        tmux.enter(f"exec {start}")
        tmux.enter(load)
        press_tab(tmux, commands)


# --- install --------------------------------------------------------------------------------------

STARTUP = {"bash": ".bashrc", "zsh": ".zshrc"}
SCRIPTS = {
    "bash": [".local/share/backendai-trio/completion.bash"],
    "zsh": [".local/share/backendai-trio/completion.zsh"],
    "fish": [f".config/fish/completions/{name}.fish" for name in ("backend.ai", "lcc", "lpython")],
}
OWN = b"alias ll='ls -l'\n# \xff is no UTF-8\n"
"""What the user has in a startup file."""


def files_of(home: Path) -> dict[str, bytes]:
    """All files below a home, and what is in them."""
    return {
        str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()
    }


def set_up(commands: Commands, *arguments: str) -> list[str]:
    """What a subcommand of `completion` has to say; it must succeed."""
    result = commands.run("completion", *arguments)
    assert (result.code, result.text) == (0, ""), result.stderr
    return result.stderr.splitlines()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_tab_key_after_install(
    commands: Commands, installed: Callable[..., str], shell: str
) -> None:
    """The shell of SHELL, started as people start it, has the completion, and no longer at last."""
    env = in_a_window(commands) | {"SHELL": installed(shell)}
    assert commands.run("completion", "install", env=env).code == 0
    with open_tmux(installed("tmux"), env, commands.work) as tmux:
        tmux.enter(f"exec {shell}")
        press_tab(tmux, commands)
    set_up(commands, "uninstall")
    with open_tmux(installed("tmux"), env, commands.work) as tmux:
        tmux.enter(f"exec {shell}")
        tmux.enter("echo rea''dy")
        tmux.shows("\nready")
        assert "completion" not in tmux.screen()  # nothing that it misses
        tmux.type("backend.ai ser")
        tmux.press("Tab")
        tmux.type("|")
        tmux.shows("backend.ai ser|")


@pytest.mark.parametrize("shell", SHELLS)
def test_what_install_changes(commands: Commands, shell: str) -> None:
    startup = commands.home / STARTUP.get(shell, ".config/fish/config.fish")
    startup.parent.mkdir(parents=True, exist_ok=True)
    startup.write_bytes(OWN)
    startup.chmod(0o640)
    before = files_of(commands.home)

    said = set_up(commands, "install", "--shell", shell)
    after = files_of(commands.home)
    changed = {name for name, content in after.items() if before.get(name) != content}
    assert changed == {*SCRIPTS[shell], *([STARTUP[shell]] if shell in STARTUP else [])}
    for name in changed:
        assert any(f"~/{name}" in line for line in said), (name, said)
    assert startup.read_bytes().startswith(OWN)
    assert startup.stat().st_mode & 0o777 == 0o640
    assert re.search(f"new {shell}", said[-1])

    again = set_up(commands, "install", "--shell", shell)
    assert files_of(commands.home) == after
    assert all("is as it should be" in line for line in again)

    set_up(commands, "uninstall", "--shell", shell)
    assert files_of(commands.home) == before
    assert set_up(commands, "uninstall") == ["∙ Nothing was installed."]


def test_install_brings_up_to_date_what_is_old(commands: Commands) -> None:
    """In the place where it is: the user may have lines behind it."""
    set_up(commands, "install", "--shell", "bash")
    startup, script = commands.home / ".bashrc", commands.home / SCRIPTS["bash"][0]
    right = files_of(commands.home)
    script.write_bytes(script.read_bytes()[:100])
    startup.write_bytes(OWN + startup.read_bytes().replace(b"if [", b"if  [") + OWN)
    set_up(commands, "install", "--shell", "bash")
    assert script.read_bytes() == right[SCRIPTS["bash"][0]]
    assert startup.read_bytes() == OWN + right[".bashrc"] + OWN


def test_a_startup_file_that_does_not_end_in_a_newline(commands: Commands) -> None:
    (commands.home / ".bashrc").write_bytes(b"alias a=b")
    set_up(commands, "install", "--shell", "bash")
    assert (commands.home / ".bashrc").read_bytes().startswith(b"alias a=b\n# >>>")


def test_a_startup_file_that_is_a_link(commands: Commands) -> None:
    """As people have it who keep their settings in a repository."""
    kept = commands.work / "bashrc"
    kept.write_bytes(OWN)
    (commands.home / ".bashrc").symlink_to(kept)
    set_up(commands, "install", "--shell", "bash")
    assert (commands.home / ".bashrc").is_symlink()
    assert kept.read_bytes() != OWN
    set_up(commands, "uninstall")
    assert (commands.home / ".bashrc").is_symlink()
    assert kept.read_bytes() == OWN


def test_folders_that_variables_name(commands: Commands) -> None:
    env = {
        "XDG_DATA_HOME": f"{commands.work}/data of mine",
        "XDG_CONFIG_HOME": f"{commands.work}/config",
        "ZDOTDIR": f"{commands.work}/zsh",
    }
    for shell in SHELLS:
        assert commands.run("completion", "install", "--shell", shell, env=env).code == 0
    assert set(files_of(commands.home)) == {".bashrc"}
    script = f"{commands.work}/data of mine/backendai-trio/completion.bash"
    assert f". '{script}'" in (commands.home / ".bashrc").read_text()
    loaded = commands.shell("bash -c '. ~/.bashrc && complete -p backend.ai lcc lpython'")
    assert (loaded.code, loaded.stderr, loaded.text.count("-F _")) == (0, "", 3)
    assert {"zsh/.zshrc", "config/fish/completions/lcc.fish"} <= set(files_of(commands.work))


@pytest.mark.parametrize("shell", SHELLS)
def test_print_changes_nothing(commands: Commands, shell: str) -> None:
    printed = commands.run("completion", "install", "--shell", shell, "--print")
    assert printed.text == commands.run("completion", shell).text
    for name in SCRIPTS[shell]:
        assert f"~/{name}" in printed.stderr
    assert files_of(commands.home) == {}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_that_is_loaded_by_hand(commands: Commands, shell: str) -> None:
    startup = commands.home / STARTUP.get(shell, ".config/fish/config.fish")
    startup.parent.mkdir(parents=True, exist_ok=True)
    startup.write_text(f"# backend.ai completion {shell}\n{SHELLS[shell][1]}\n")
    before = files_of(commands.home)
    (said,) = set_up(commands, "install", "--shell", shell)
    assert "in line 2" in said and startup.name in said
    assert files_of(commands.home) == before


@pytest.mark.parametrize("action", ["install", "uninstall"])
@pytest.mark.parametrize("shell", SHELLS)
def test_files_of_somebody_else_stay(commands: Commands, shell: str, action: str) -> None:
    other = commands.home / SCRIPTS[shell][-1]
    other.parent.mkdir(parents=True)
    other.write_text("# mine\n")
    before = files_of(commands.home)
    problem = commands.run("completion", action, "--shell", shell).problem(125)
    assert str(other) in problem
    assert files_of(commands.home) == before


@pytest.mark.parametrize("action", ["install", "uninstall"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: lines[:-1],
        lambda lines: lines[1:],
        lambda lines: lines + lines,
        lambda lines: lines[::-1],
    ],
    ids=["no end", "no beginning", "twice", "the wrong way round"],
)
def test_damaged_lines_stay(
    commands: Commands, action: str, damage: Callable[[list[bytes]], list[bytes]]
) -> None:
    set_up(commands, "install", "--shell", "bash")
    startup = commands.home / ".bashrc"
    startup.write_bytes(OWN + b"".join(damage(startup.read_bytes().splitlines(keepends=True))))
    before = files_of(commands.home)
    problem = commands.run("completion", action, "--shell", "bash").problem(125)
    assert str(startup) in problem and "from line" in problem
    assert files_of(commands.home) == before


def test_a_startup_file_that_is_a_folder(commands: Commands) -> None:
    (commands.home / ".bashrc").mkdir()
    problem = commands.run("completion", "install", "--shell", "bash").problem(125)
    assert str(commands.home / ".bashrc") in problem and "--print" in problem


def test_a_startup_file_that_is_read_only(
    commands: Commands, installed: Callable[..., str]
) -> None:
    startup = commands.home / ".bashrc"
    startup.touch(mode=0o444)
    # Root may write it all the same, unless it gives this right up.
    as_others = "" if os.geteuid() else f"{installed('setpriv')} --bounding-set=-all "
    result = commands.shell(f"{as_others}backend.ai completion install --shell bash")
    problem = result.problem(125)
    assert str(startup) in problem and "it is read-only" in problem and "--print" in problem
    assert files_of(commands.home) == {".bashrc": b""}


@pytest.mark.parametrize("shell", ["", "/bin/dash", "/opt/bash/bin/tcsh"])
def test_another_shell(commands: Commands, shell: str) -> None:
    result = commands.run("completion", "install", env={"SHELL": shell})
    assert "--shell bash|zsh|fish" in result.problem(125)
    assert files_of(commands.home) == {}
