"""A connection that breaks while a command runs: the user is told, and it goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from .broken_way import broken_way
from .commands import Commands
from .terminal import Running

LOST, BACK = "The connection is lost; trying again...", "The connection is back."


def test_run(commands: Commands, served: Mapping[str, str]) -> None:
    code = "print('up', flush=True)\nprint('got', input())\n"
    with broken_way(served["BACKEND_ENDPOINT"]) as way:
        env = {**served, "BACKEND_ENDPOINT": way.url}
        with commands.start("run", "python", "-c", code, env=env, stdin=subprocess.PIPE) as run:
            run.expect("up\n")
            way.cut()
            run.expect(f"! {LOST}\n", on="stderr")
            run.expect(f"✔ {BACK}\n", on="stderr")
            run.send("it\n")
            run.expect("got it\n")
            assert run.wait() == 0


def test_shell(commands: Commands, served: Mapping[str, str]) -> None:
    with broken_way(served["BACKEND_ENDPOINT"]) as way:
        env = {**served, "BACKEND_ENDPOINT": way.url}
        with commands.terminal("shell", "bash", env=env) as shell:
            shell.expect("work")  # the prompt
            way.cut()
            # The terminal is raw: a line begins where lines begin only after both of these.
            shell.expect(LOST)
            told(shell)
            shell.expect(BACK)
            told(shell)
            shell.send("exit $((3 + 4))\r")
            assert shell.wait() == 7


def told(shell: Running) -> None:
    """The end of a status line on a raw terminal."""
    before = shell.expect("\r\n")
    assert "\n" not in before
