"""Pictures and other media that the programs of a kernel show.

A program sends them to a socket in the kernel's folder (`backendai_display.py`): a line with their
MIME type and size, and their bytes. The answer is ``ok``, or the reason why they are not shown; it
comes when they are in the output of the run, after all that the program has written before.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from ..._groups import one_error
from ...wire.media import encode_media
from ...wire.shown_media import MAX_SHOWN_BYTES, MAX_SHOWN_HEAD_BYTES, parse_shown_head
from .run import Run

__all__ = ["Display", "listen_at"]

RECEIVE_SECONDS = 30.0
"""How long a program may take to send one; others of the kernel wait meanwhile."""
_ACCEPT_PAUSE_SECONDS = 0.1
_READ_BYTES = 64 * 1024


def listen_at(path: Path) -> socket.socket:
    """A listening Unix socket. Its path may be longer than the 107 bytes that addresses hold.

    Args:
        path: where it is made; its folder exists.

    Raises:
        OSError: it cannot be made.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
            listener.listen()
        except BaseException:  # raised again
            listener.close()
            raise
        return listener
    finally:
        os.close(folder)


class _RefusedError(Exception):
    """A medium cannot be shown."""


@dataclass(frozen=True)
class _Screen:
    """Where media go while a run's program runs."""

    run: Run
    drain: Callable[[], Awaitable[None]]
    nursery: trio.Nursery

    async def show(self, mime_type: str, content: bytes) -> bool:
        """Put a medium into the run's output; returns whether it is there."""
        done = trio.Event()
        shown = False

        async def deliver() -> None:
            nonlocal shown
            try:
                await self.drain()
                payload = [mime_type, encode_media(mime_type, content)]
                shown = await self.run.write_record("media", payload)
            finally:
                done.set()

        # In the run's nursery: its program's pipes must not be closed meanwhile.
        self.nursery.start_soon(deliver)
        await done.wait()
        return shown


class Display:
    """Takes media from a kernel's programs, and gives them to the run whose program runs."""

    def __init__(self) -> None:
        self._screen: _Screen | None = None

    @asynccontextmanager
    async def showing(self, run: Run, drain: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Show media in the output of a run, during the block.

        Args:
            run: the run.
            drain: delivers everything that its program has written so far.
        """
        with one_error():
            async with trio.open_nursery() as nursery:
                self._screen = _Screen(run, drain, nursery)
                try:
                    yield
                finally:
                    self._screen = None
                    nursery.cancel_scope.cancel()

    async def serve(self, listener: socket.socket) -> None:
        """Take media, one after the other, until this is cancelled.

        Args:
            listener: from `listen_at`; closed at the end.
        """
        listener.setblocking(False)
        with trio.socket.from_stdlib_socket(listener) as accepting:
            while True:
                try:
                    connection, _ = await accepting.accept()
                except OSError:  # no descriptor is left
                    await trio.sleep(_ACCEPT_PAUSE_SECONDS)
                    continue
                async with trio.SocketStream(connection) as stream:
                    try:
                        await self._take(stream)
                    except trio.BrokenResourceError:
                        pass  # the program has ended

    async def _take(self, stream: trio.SocketStream) -> None:
        try:
            with trio.move_on_after(RECEIVE_SECONDS) as timeout:
                mime_type, content = await _receive(stream)
            if timeout.cancelled_caught:
                raise _RefusedError(f"it did not arrive within {RECEIVE_SECONDS:g} s")
            if self._screen is None:
                raise _RefusedError("the program does not belong to a run that a client follows")
            if not await self._screen.show(mime_type, content):
                raise _RefusedError("the client of the run does not take it")
            answer = "ok"
        except _RefusedError as exc:
            answer = str(exc)
        await stream.send_all(answer.encode())


async def _receive(stream: trio.SocketStream) -> tuple[str, bytes]:
    """The MIME type and the bytes of a medium."""
    received = bytearray()
    while b"\n" not in received and len(received) < MAX_SHOWN_HEAD_BYTES:
        received += await _some(stream)
    head = parse_shown_head(bytes(received))
    if head is None:
        raise _RefusedError("its MIME type or its size is malformed")
    size = head.content_bytes
    if size > MAX_SHOWN_BYTES:
        raise _RefusedError(f"it has {size:,} bytes, and may have {MAX_SHOWN_BYTES:,} at most")
    content = received[head.head_bytes :]
    while len(content) < size:
        content += await _some(stream)
    return head.mime_type, bytes(content[:size])


async def _some(stream: trio.SocketStream) -> bytes:
    data = await stream.receive_some(_READ_BYTES)
    if not data:
        raise trio.BrokenResourceError
    return bytes(data)
