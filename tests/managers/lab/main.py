"""The command: see README.md."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence

from .accounts import ACCOUNTS
from .base import Lab
from .processes import LabError
from .releases import RELEASES, lab_of

__all__ = ["main"]

_LEFT_OUT = 77
"""Exit code of ``check`` where the machine lacks something: no other failure has it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code.

    Args:
        arguments: of the command line; None for those of this process.
    """
    parser = argparse.ArgumentParser(
        prog="manager.py", description="Published Backend.AI servers on this machine, on loopback."
    )
    parser.add_argument("release", help=f"one of {', '.join(RELEASES)}")
    parser.add_argument(
        "action",
        choices=["check", "install", "start", "stop", "restart", "status", "env", "logs", "wipe"],
        help=f"check says what is missing on this machine, with exit code {_LEFT_OUT}; env prints "
        "variables for a shell; wipe stops, and forgets all but the packages",
    )
    parser.add_argument(
        "--user", choices=list(ACCOUNTS), default="admin", help="whose variables env prints"
    )
    options = parser.parse_args(arguments)
    try:
        lab = lab_of(options.release)
    except LabError as exc:
        parser.error(str(exc))
    try:
        return _act(lab, options.action, options.user)
    except LabError as exc:
        print(f"manager.py: {exc}", file=sys.stderr)
        return _LEFT_OUT if options.action == "check" else 1


def _act(lab: Lab, action: str, user: str) -> int:
    start = time.monotonic()
    match action:
        case "check":
            lab.check()
            return 0
        case "install":
            lab.install()
        case "start":
            lab.start()
        case "stop":
            lab.stop()
        case "restart":
            lab.stop()
            lab.start()
        case "wipe":
            lab.wipe()
        case "env":
            for name, value in lab.variables(user).items():
                print(f"export {name}={shlex.quote(value)}")
            return 0
        case "logs":
            for name, text in lab.logs().items():
                print(f"== {name}: {lab.processes.log(name)}\n{text}")
            return 0
        case "status":
            pids = {name: lab.processes.pid(name) for name in lab.all_services}
            for name, pid in pids.items():
                print(f"{name}: {'down' if pid is None else f'runs, process {pid}'}")
            return 0 if all(pids.values()) else 3
    lab.say(f"{action}: done in {time.monotonic() - start:.0f} s; {lab.endpoint}")
    return 0
