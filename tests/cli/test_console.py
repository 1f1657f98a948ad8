"""Status lines on a terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
import pytest

from backendai_cli.console import Status
from backendai_cli.errors import _run

ERASED = "\x1b[2K"


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


@contextmanager
def on_terminal() -> Iterator[Terminal]:
    """A block whose standard error is a terminal.

    No fixture: pytest captures anew after those.
    """
    with pytest.MonkeyPatch.context() as patch:
        stream = Terminal()
        patch.setattr(sys, "stderr", stream)
        patch.setenv("TERM", "xterm")
        patch.delenv("NO_COLOR", raising=False)
        patch.delenv("FORCE_COLOR", raising=False)
        yield stream


@pytest.mark.parametrize("show", ["info", "wait", "done", "result", "warn", "fail"])
def test_a_message_cannot_command_the_terminal(show: str) -> None:
    with on_terminal() as terminal:
        getattr(Status(), show)("a\x1b]0;title\x07b\x9b2Jc\rd\u202ee\tf\ng é\u200d")
    written = terminal.getvalue()
    assert "a?]0;title?b?2Jc?d?e\tf\ng é\u200d" in written


def test_a_waiting_line_is_erased_by_whoever_writes_next() -> None:
    with on_terminal() as terminal:
        Status().wait("Creating a kernel that takes a while...")
        Status().fail("no")
    written = terminal.getvalue()
    assert written.index("takes a while") < written.index(ERASED) < written.index("✘ no")
    assert written.count(ERASED) == 1


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), click.UsageError("no"), OSError(5)])
def test_nothing_is_waited_for_when_a_command_has_ended(error: BaseException | None) -> None:
    @click.command
    def command() -> None:
        Status().wait("Ending the kernel...")
        if error is not None:
            raise error

    with on_terminal() as terminal:
        _run(command, [], "program")
    assert ERASED in terminal.getvalue().partition("Ending the kernel...")[2]
