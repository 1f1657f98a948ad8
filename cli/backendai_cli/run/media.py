"""What becomes of the pictures and other media of a run: drawn by the terminal, saved, or named."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import trio

from backendai_trio import Html, Media, RemoteProtocolError

from ..console import Status, count, is_dumb_terminal, printable
from .device_attributes import DeviceAttributes
from .media_files import MediaFiles
from .sixel import EXTRA, sixel_picture, window_pixels
from .terminal_graphics import Protocol, can_draw, drawn, protocol_of

if TYPE_CHECKING:
    from .media_options import MediaOptions

__all__ = ["MediaPresenter"]

_PRINTED = frozenset({"text/latex", "text/markdown", "text/plain"})
"""Types that a person can read on a terminal, as JSON."""


class MediaPresenter:
    """Decides about media, saves those that are to be saved, and tells of what it did."""

    def __init__(
        self, options: MediaOptions, status: Status, attributes: DeviceAttributes | None = None
    ) -> None:
        """
        Args:
            options: what the user wants.
            status: where to tell the names of files.
            attributes: of the user's terminal; None if it is not to be asked.
        """
        self._status = status
        self._attributes = attributes
        self._hint = ""  # to be told when the next medium is saved
        self._files = MediaFiles(options.media_dir)
        self._skips = options.media == "skip"
        self._on_terminal = (
            options.media != "save" and sys.stdout.isatty() and not is_dumb_terminal()
        )
        self._protocol: Protocol | None = None
        if self._on_terminal:
            if options.media in ("kitty", "iterm2", "sixel"):
                self._protocol = options.media
            else:
                self._protocol = protocol_of(os.environ)

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
        if shown := await self._shown(event, content):
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
            if self._hint:
                self._status.info(self._hint)
                self._hint = ""
        return b""

    async def _shown(self, event: Media | Html, content: bytes) -> bytes | None:
        """What the terminal is sent; None if it is no terminal, or cannot show this."""
        await trio.lowlevel.checkpoint()
        if not self._on_terminal:
            return None
        if event.is_json or event.plain_type in _PRINTED:
            lines = content.rstrip(b"\n").splitlines()
            return self._status.line_end.encode().join(lines)
        protocol = self._protocol or await self._sixel_if_known(event.plain_type, content)
        if protocol is None:
            return None
        if protocol == "sixel":
            return await self._drawn_as_sixel(event.plain_type, content)
        return drawn(protocol, event.plain_type, content)

    async def _sixel_if_known(self, mime_type: str, content: bytes) -> Protocol | None:
        """Ask the terminal, if this is a picture; nothing else is worth the wait."""
        if self._attributes is None or not can_draw("sixel", mime_type, content):
            return None
        if await self._attributes.has_sixel():
            self._protocol = "sixel"
        return self._protocol

    async def _drawn_as_sixel(self, mime_type: str, content: bytes) -> bytes | None:
        try:
            return await trio.to_thread.run_sync(sixel_picture, mime_type, content, window_pixels())
        except ImportError:
            self._protocol = self._attributes = None  # so that the hint comes once
            self._hint = f"This terminal can show pictures: pip install '{EXTRA}'"
            return None
