"""The output of a run, on the user's standard streams."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import trio

from backendai_trio import BuildFinished, Event, Finished, Html, Log, Media, Stderr, Stdout
from backendai_trio.kernels import Other, TimedOut, is_traceback, without_colors

from ..console import Status, uses_color, write_bytes
from .device_attributes import DeviceAttributes
from .media import MediaPresenter
from .media_options import MediaOptions

__all__ = ["Output", "as_bytes"]

_HOLD_SECONDS = 0.1
"""How long output is held back that may be the prompt of a password. The question follows within
milliseconds; nobody notices the delay."""
_EMPTY_LINE = re.compile(r"(\n|\r\x1b\[[02]?K|\x1b\[2K\r)\Z")
"""Text whose end leaves the cursor in an empty line: a new one, or one that was erased, as by
``clear_output`` of IPython."""


class Output:
    """Shows the events of a run as they come.

    Attributes:
        has_text: whether there was any text.
        mid_line: whether the last output ended within a line.
        of_managers_query: whether it is the output of code in a kernel of a manager, which colors
            the traceback of code that failed, whoever reads it, and does not end its last line.
    """

    def __init__(
        self,
        status: Status,
        media: MediaOptions | None = None,
        attributes: DeviceAttributes | None = None,
    ) -> None:
        """
        Args:
            status: where to tell of what is not text.
            media: what to do with pictures and the like; default: ``MediaOptions()``.
            attributes: of the user's terminal; None if it is not to be asked.
        """
        self.has_text = False
        self.mid_line = False
        self.of_managers_query = False
        self._status = status
        self._media = MediaPresenter(media or MediaOptions(), status, attributes)
        self._plain_errors = not uses_color(sys.stderr)
        self._holds = False
        self._held: tuple[TextIO, bytes] | None = None
        self._hold_begun = trio.Event()
        self._writing = trio.Lock()  # keeps the order of output; fair

    async def show(self, event: Event) -> None:
        """Show an event, except for an `InputRequest`."""
        match event:
            case Stdout(text):
                await self._show_text(sys.stdout, text)
                return
            case Stderr(text):
                if self.of_managers_query and is_traceback(text):
                    if self._plain_errors:
                        text = without_colors(text)
                    if not text.endswith("\n"):
                        text += "\n"  # what is shown next begins on a line of its own
                await self._show_text(sys.stderr, text)
                return
        await self.release()
        match event:
            case BuildFinished(None | 0):
                self._status.done("Build finished.")
            case BuildFinished(code):
                self._status.fail(f"Build failed (exit code {code}); nothing was run.")
            case Log(text):
                self._status.info(text)
            case Media() | Html():
                await self._show_media(event)
            case Other(kind, _):
                self._status.info(f"[output of kind {kind!r}]")
            case TimedOut():
                self._status.fail("The server ended the run because it took too long.")
            case Finished():
                self._status.clear()

    # -- prompts of passwords ---------------------------------------------------------------------

    @contextmanager
    def holding_prompts(self, *, enabled: bool) -> Iterator[None]:
        """During the block, hold the last output back for a moment.

        If it is the prompt of a password, the echo is switched off before it is shown: whoever
        answers at once (a program, as `expect`) would have the password shown otherwise. Needs
        `release_held` as a task.
        """
        self._holds = enabled
        try:
            yield
        finally:
            self._holds = False
            held, self._held = self._held, None
            if held is not None:  # the run failed
                write_bytes(*held)

    async def release_held(self) -> None:
        """Show held output that nothing has followed for a moment."""
        while True:
            await self._hold_begun.wait()
            held = self._held
            await trio.sleep(_HOLD_SECONDS)
            if self._held is held:
                await self.release()

    async def release(self) -> None:
        """Show held output now."""
        held, self._held = self._held, None
        if held is not None:
            self._hold_begun = trio.Event()
            await self._write(*held)

    async def _show_text(self, stream: TextIO, text: str) -> None:
        if text:
            self.has_text = True
            self.mid_line = _EMPTY_LINE.search(text) is None
        await self.release()
        if self._holds:
            self._held = (stream, as_bytes(text))
            self._hold_begun.set()
        else:
            await self._write(stream, as_bytes(text))

    async def _show_media(self, event: Media | Html) -> None:
        if self.mid_line and sys.stdout.isatty():  # as after a progress bar
            await self._write(sys.stdout, self._status.line_end.encode())
            self.mid_line = False
        if drawn := await self._media.present(event):
            await self._write(sys.stdout, drawn)

    async def _write(self, stream: TextIO, data: bytes) -> None:
        async with self._writing:
            self._status.clear()
            # In a thread: a reader that does not read (a pager, Ctrl-S) must not block the event
            # loop, and so Ctrl-C and a gateway of this process.
            await trio.to_thread.run_sync(write_bytes, stream, data, abandon_on_cancel=True)


def as_bytes(text: str) -> bytes:
    """The bytes that a program wrote; those that are not UTF-8 are lone surrogates (PEP 383)."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # other surrogates, which no server should send
        return text.encode("utf-8", "replace")
