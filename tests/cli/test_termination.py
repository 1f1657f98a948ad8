"""How commands run their Trio code: Ctrl-C never breaks a block apart."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import trio

import backendai_cli
from backendai_cli.termination import run_async


def test_keyboard_interrupt_comes_at_checkpoints_only() -> None:
    seen: list[str] = []

    async def main() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        seen.append("the code went on")
        try:
            await trio.lowlevel.checkpoint()
        except BaseException as exc:
            seen.append(type(exc).__name__)
            raise

    with pytest.raises(KeyboardInterrupt):
        run_async(main)
    assert seen in (["the code went on", "KeyboardInterrupt"], ["the code went on", "Cancelled"])


def test_all_commands_run_their_code_that_way() -> None:
    folder = Path(backendai_cli.__file__).parent
    users = [path.name for path in folder.rglob("*.py") if "trio.run(" in path.read_text("utf-8")]
    assert users == ["termination.py"]
