"""What becomes of the pictures and other media of a run: drawn by the terminal, saved, or named."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import trio

from backendai_trio import Html, Media, RemoteProtocolError

from ..console import Status, count, is_dumb_terminal, printable
from .media_files import MediaFiles
from .terminal_graphics import Protocol, drawn, protocol_of

if TYPE_CHECKING:
    from .media_options import MediaOptions

__all__ = ["MediaPresenter"]

_PRINTED = frozenset({"text/latex", "text/markdown", "text/plain"})
"""Types that a person can read on a terminal, as JSON."""


class MediaPresenter:
    """Decides about media, saves those that are to be saved, and tells of what it did."""

    def __init__(self, options: MediaOptions, status: Status) -> None:
        """
        Args:
            options: what the user wants.
            status: where to tell the names of files.
        """
        self._status = status
        self._files = MediaFiles(options.media_dir)
        self._skips = options.media == "skip"
        self._on_terminal = (
            options.media != "save" and sys.stdout.isatty() and not is_dumb_terminal()
        )
        self._protocol: Protocol | None = None
        if self._on_terminal:
            chosen = options.media
            self._protocol = chosen if chosen in ("kitty", "iterm2") else protocol_of(os.environ)

    async def present(self, event: Media | Html, label: str = "") -> bytes:
        """Save a medium, unless standard output shows it.

        What the server sent or the disk refuses breaks no run: a warning tells of it.

        Args:
            event: the medium.
            label: what status lines begin with.

        Returns:
            What is to be written to standard output, a terminal; nothing if it was saved.
        """
        mime_type = event.plain_type
        try:
            content = event.content()
        except RemoteProtocolError as exc:
            await trio.lowlevel.checkpoint()
            self._status.warn(f"{label}Skipped malformed media: {printable(str(exc))}.")
            return b""
        what = printable(mime_type[:60]) or "media of no type"
        if self._skips:
            await trio.lowlevel.checkpoint()
            self._status.info(f"{label}Skipped {what} ({count(len(content), 'byte')}).")
            return b""
        if shown := self._shown(event, content):
            await trio.lowlevel.checkpoint()
            return shown + self._status.line_end.encode()
        try:
            path = await trio.to_thread.run_sync(self._files.save, event, content)
        except OSError as exc:
            problem = f"in the folder {self._files.folder}: {exc.strerror or exc}"
            self._status.warn(
                f"{label}Cannot save {what} {problem}; name another one with --media-dir, or leave "
                "media out with --media skip."
            )
        else:
            self._status.result(f"{label}Saved {what}: {path}")
        return b""

    def _shown(self, event: Media | Html, content: bytes) -> bytes | None:
        """What the terminal is sent; None if it is no terminal, or cannot show this."""
        if not self._on_terminal:
            return None
        if event.is_json or event.plain_type in _PRINTED:
            lines = content.rstrip(b"\n").splitlines()
            return self._status.line_end.encode().join(lines)
        if self._protocol is None:
            return None
        return drawn(self._protocol, event.plain_type, content)
