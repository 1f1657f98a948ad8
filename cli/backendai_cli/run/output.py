"""What a run prints, on the user's standard streams."""

from __future__ import annotations

import sys
from typing import TextIO

import trio

from backendai_trio import BuildFinished, Event, Finished, Html, Log, Media, Stderr, Stdout
from backendai_trio.kernels import Other, TimedOut

from ..console import Status, write_bytes

__all__ = ["Output", "as_bytes"]


class Output:
    """Shows the events of runs, as they come.

    Attributes:
        mid_line: whether the last output ended within a line.
    """

    def __init__(self, status: Status) -> None:
        self.mid_line = False
        self._status = status

    async def show(self, event: Event) -> None:
        """Print an event; what is no text is told of. Questions are for others to answer."""
        match event:
            case Stdout(text):
                await self._print(sys.stdout, text)
            case Stderr(text):
                await self._print(sys.stderr, text)
            case BuildFinished(None | 0):
                self._status.done("Build finished.")
            case BuildFinished(code):
                self._status.fail(f"Build failed (exit code {code}).")
            case Log(text):
                self._status.info(text)
            case Media(kind, data):
                self._status.info(f"[{kind}, {len(data):,} characters]")
            case Html(text):
                self._status.info(f"[HTML, {len(text):,} characters]")
            case Other(kind, _):
                self._status.info(f"[output of kind {kind!r}]")
            case TimedOut():
                self._status.fail("The server ended the run: it took too long.")
            case Finished():
                self._status.clear()

    async def _print(self, stream: TextIO, text: str) -> None:
        self._status.clear()
        data = as_bytes(text)
        self.mid_line = not text.endswith("\n")
        # In a thread: a reader that does not read (a pager, Ctrl-S) must not stop the event loop,
        # which would be deaf to Ctrl-C and, with a local gateway, stop that as well.
        await trio.to_thread.run_sync(write_bytes, stream, data, abandon_on_cancel=True)


def as_bytes(text: str) -> bytes:
    """The bytes a program wrote; those that are no UTF-8 arrive as lone surrogates (PEP 383)."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # other surrogates, which no server should send
        return text.encode("utf-8", "replace")
