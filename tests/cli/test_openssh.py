"""OpenSSH and rsync with a kernel, for real: `.ci/run` installs them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from ..requirements import lacking
from .commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of
from .terminal import eventually
from .tmux import open_tmux


@pytest.fixture
def openssh(commands: Commands, installed: Callable[..., str]) -> Iterator[Mapping[str, str]]:
    """A gateway with the kernel lab1, whose machine has OpenSSH."""
    commands.env["PATH"] += ":/usr/sbin:/sbin"
    for name in ("ssh", "scp", "rsync", "/usr/sbin/sshd"):
        installed(name)
    if os.geteuid() == 0 and not Path("/run/sshd").is_dir():
        raise lacking("the folder /run/sshd, which an sshd of root needs, was not found")
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    options = ("--isolation", "process-group", "--access-key", ACCESS_KEY)
    with commands.serve(*options, env=secret) as gateway:
        commands.env |= variables_of(gateway)
        made = commands.run("create", "-q", "-e", "COLOUR=it's blue", "-t", "lab1", "python")
        assert made.code == 0, made
        yield commands.env


def processes(*words: str) -> list[int]:
    """Processes of this test's own whose command lines have all these words."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            line = (folder / "cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue  # it has ended, or is none
        if folder.name.isdigit() and all(word in line for word in words):
            found.append(int(folder.name))
    return found


def test_command(commands: Commands, openssh: Mapping[str, str]) -> None:
    """Its environment, folder, standard streams and exit code."""
    line = 'echo "$COLOUR"; pwd; cat; echo problem >&2; exit 7'
    data = random.Random(7).randbytes(300_000)
    done = commands.run("ssh", "lab1", line, stdin=data)
    assert (done.code, done.stderr) == (7, "problem\n")
    colour, folder, rest = done.stdout.split(b"\n", 2)
    assert (colour, Path(folder.decode()).name, rest) == (b"it's blue", "work", data)


def test_scp_and_rsync(commands: Commands, openssh: Mapping[str, str]) -> None:
    """Folders go there and back unchanged, and the kernel's own list of files has them."""
    source = commands.work / "src" / "sub"
    source.mkdir(parents=True)
    (source / "big").write_bytes(random.Random(7).randbytes(3_000_000))
    (source / "-e name with space").write_text("x")
    script = (
        "set -e; backend.ai scp -r src lab1:; backend.ai scp -q -r lab1:src back; diff -r src back;"
        "rsync -e 'backend.ai ssh' -a src/ lab1:there/; rsync -e 'backend.ai ssh' -a lab1:there/ 2/"
        "; diff -r src 2"
    )
    done = commands.shell(script)
    assert (done.code, done.text, done.stderr) == (0, "", ""), done
    assert "sub" in commands.run("ls", "lab1", "there").text


def test_entry_of_the_configuration(commands: Commands, openssh: Mapping[str, str]) -> None:
    """OpenSSH itself connects with it, as editors do."""
    entry = commands.run("ssh", "--print-config", "lab1").text
    (commands.work / "config").write_text(entry)
    done = commands.shell("ssh -F config lab1 echo '$COLOUR'")
    assert (done.code, done.text) == (0, "it's blue\n"), done


def test_session_and_cancelled_commands_at_a_terminal(
    commands: Commands, openssh: Mapping[str, str], installed: Callable[..., str]
) -> None:
    backend_ai = commands.argv()[0]
    path = f"{backend_ai.rpartition('/')[0]}:{openssh['PATH']}"
    env = {**openssh, "PATH": path, "TERM": "screen-256color"}
    with open_tmux(installed("tmux"), env, commands.work) as tmux:
        tmux.enter("backend.ai ssh lab1")
        tmux.shows("/work")  # the prompt
        tmux.enter("stty size; tty; echo $TERM")
        tmux.shows("24 80\n/dev/pts/")
        tmux.enter("sleep 100")
        tmux.press("C-c")
        tmux.enter("echo then $?")
        tmux.shows("then 130")
        tmux.enter("exit 4")
        tmux.shows_prompt()
        tmux.enter("echo code $?")
        tmux.shows("code 4")
        tmux.enter("backend.ai ssh lab1 'echo begun; sleep 100'")
        tmux.shows("\nbegun")
        tmux.press("C-c")
        # The shell goes to a new line if it sees that a signal has ended the command.
        ended = ("begun\n^Clocal>", "begun\n^C\nlocal>")
        assert eventually(lambda: tmux.screen().rstrip().endswith(ended)), tmux.everything()
        assert eventually(lambda: not processes("--stdio", "lab1", "sshd"))
