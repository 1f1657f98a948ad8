"""A kernel's terminal, as a stream of bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import index
from types import TracebackType
from typing import Protocol

import trio

from ..errors import BackendError, ConnectionFailed, LocalProtocolError
from ..transport.connection_state import ConnectionState
from ..transport.resumable import ResumableStream, open_resumable
from ..transport.websocket import ConnectionClosed, WebSocket
from ..transport.websocket_connect import open_websocket
from ..wire.manager_streams import (
    FromTerminal,
    Resize,
    Restart,
    Stdin,
    decode_typed_out,
    encode_typed,
)
from ..wire.resumable import RESUMABLE_STREAMS, Output
from .kernel import TrioKernel

__all__ = ["Terminal", "open_terminal"]

_INTERRUPT = b"\x03"
_END_OF_INPUT = b"\x04"
_PIECE_BYTES = 64 * 1024
_MAX_WINDOW = 10_000
_NORMAL = 1000
_CLOSED = "this terminal was closed"


class _Wire(Protocol):
    """How a terminal's messages travel."""

    exit_code: int | None
    connection: ConnectionState

    async def receive(self) -> bytes:
        """The next output; ``b""`` at the end."""

    async def type(self, data: bytes) -> None:
        """Type."""

    async def end(self) -> None:
        """No more is typed."""

    async def resize(self, rows: int, columns: int) -> None:
        """Set the window's size."""

    async def restart(self) -> None:
        """Start the kernel anew."""

    async def aclose(self) -> None:
        """Close the connection; may be repeated. Bounded, also when cancelled.

        Calls that wait end, in whichever way.
        """


class Terminal(trio.abc.HalfCloseableStream):
    """A terminal in a kernel. Made by `open_terminal`.

    Bytes are those of an xterm-like terminal, output and errors in one. Closing detaches; what
    runs there goes on, and a later `open_terminal` finds it again.

    One task sends at a time, and one receives; a clash raises `trio.BusyResourceError`. When the
    connection is gone for good, `trio.BrokenResourceError` is raised; its cause says why.

    Attributes:
        closed: on our side, by `aclose` or the end of its block.
    """

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._left = b""
        self._finished = False
        self._input_ended = False
        self.closed = False
        self._receiving = _Call(self, "receiving from")
        self._sending = _Call(self, "sending to")
        self._resizing = _Call(self, "resizing")
        self._restarting = _Call(self, "restarting")

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What the terminal shows next; ``b""`` when its shell has ended.

        Args:
            max_bytes: at most so many, at least 1.
        """
        if max_bytes is not None and index(max_bytes) < 1:
            raise ValueError("max_bytes must be at least 1")
        with self._receiving:
            if self._left or self._finished:
                await trio.lowlevel.checkpoint()
            else:
                self._left = await self._wire.receive()
                self._finished = not self._left
        size = len(self._left) if max_bytes is None else max_bytes
        data, self._left = self._left[:size], self._left[size:]
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Type; waits while the program is far behind.

        Cancellation: a part of the data may have been typed.
        """
        # No full checkpoint before typing, which is one: a key's way is to be short.
        await trio.lowlevel.checkpoint_if_cancelled()
        with self._sending:
            if self._input_ended:
                raise trio.ClosedResourceError("the input of this terminal was ended")
            view = memoryview(data)
            if not view:
                await trio.lowlevel.checkpoint()
            for start in range(0, len(view), _PIECE_BYTES):
                await self._wire.type(bytes(view[start : start + _PIECE_BYTES]))

    async def wait_send_all_might_not_block(self) -> None:
        """Returns at once: how far the program has read shows only in typing."""
        await trio.lowlevel.checkpoint()
        with self._sending:
            pass

    async def send_eof(self) -> None:
        """End the input, as Ctrl-D at an empty line does; may be repeated."""
        await trio.lowlevel.checkpoint()
        with self._sending:
            if not self._input_ended:
                self._input_ended = True
                await self._wire.end()

    async def resize(self, rows: int, columns: int) -> None:
        """Set the window's size in characters. The same size again makes programs paint anew.

        Raises:
            LocalProtocolError: one of them is not between 1 and 10,000.
        """
        if not (0 < rows <= _MAX_WINDOW and 0 < columns <= _MAX_WINDOW):
            raise LocalProtocolError(f"a terminal cannot have {rows} rows and {columns} columns")
        await trio.lowlevel.checkpoint()
        with self._resizing:
            await self._wire.resize(rows, columns)

    async def interrupt(self) -> None:
        """Type Ctrl-C."""
        await self.send_all(_INTERRUPT)

    async def restart(self) -> None:
        """Start the kernel anew: files stay, variables and processes go.

        The terminal goes on, with a fresh shell.
        """
        await trio.lowlevel.checkpoint()
        with self._restarting:
            await self._wire.restart()

    async def aclose(self) -> None:
        """Detach; may be repeated. Calls that wait raise `trio.ClosedResourceError`."""
        self.closed = True
        await self._wire.aclose()
        await trio.lowlevel.checkpoint()

    @property
    def connection(self) -> ConnectionState:
        """Whether the connection is there, for who wants to tell a person when it is lost."""
        return self._wire.connection

    @property
    def exit_code(self) -> int | None:
        """How the shell ended, after `receive_some` has returned ``b""``; None if nobody told."""
        return self._wire.exit_code


class _Call:
    """One call of a kind, one at a time; after `aclose` it ends, and foreign errors become Trio's.

    A class, where a generator would be shorter: every key goes through two of them.
    """

    __slots__ = ("_busy", "_terminal", "_what")

    def __init__(self, terminal: Terminal, what: str) -> None:
        self._terminal = terminal
        self._what = what
        self._busy = False

    def __enter__(self) -> None:
        if self._terminal.closed:
            raise trio.ClosedResourceError(_CLOSED)
        if self._busy:
            raise trio.BusyResourceError(f"another task is {self._what} this terminal")
        self._busy = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._busy = False
        if error is None or isinstance(error, BackendError | ConnectionClosed):
            if self._terminal.closed:
                raise trio.ClosedResourceError(_CLOSED) from error
            if error is not None:
                raise trio.BrokenResourceError(str(error)) from error


@asynccontextmanager
async def open_terminal(kernel: TrioKernel) -> AsyncIterator[Terminal]:
    """Attach to a kernel's terminal; detached when the block ends.

    On our own gateway the terminal is a shell in the work folder that outlives the attachment, a
    broken connection is replaced without a gap, and attaching from elsewhere ends this one.

    Raises:
        ApiError: the kernel is not there, or has no terminal.
        ConnectionFailed: the server cannot be reached.

    Endpoint: WebSocket ``/stream/session/{name}/pty`` (contract section 6.1).
    """
    client = kernel.client
    path = client.era.stream_path(kernel.address, "pty")
    if client.has(RESUMABLE_STREAMS):
        async with (
            open_resumable(client, path) as stream,
            Terminal(_ResumableWire(stream)) as terminal,
        ):
            yield terminal
        return
    async with open_websocket(client, path) as socket, Terminal(_ManagerWire(socket)) as terminal:
        yield terminal


class _ResumableWire:
    """Our own gateway's."""

    def __init__(self, stream: ResumableStream) -> None:
        self.exit_code: int | None = None
        self.connection = stream.connection
        self._stream = stream

    async def receive(self) -> bytes:
        try:
            message = await self._stream.receive()
        except trio.EndOfChannel:
            return b""
        if isinstance(message, Output):
            return message.data
        # The one mark of a terminal is its shell's end.
        code = message.fields.get("exit_code")
        self.exit_code = code if isinstance(code, int) else None
        return b""

    async def type(self, data: bytes) -> None:
        await self._stream.send(data)

    async def end(self) -> None:
        await self._stream.send_eof()

    async def resize(self, rows: int, columns: int) -> None:
        await self._stream.control({"resize": [rows, columns]}, keep=True)

    async def restart(self) -> None:
        await self._stream.control({"restart": True})

    async def aclose(self) -> None:
        await self._stream.aclose()


class _ManagerWire:
    """A manager's: JSON with base64, in text frames and from 25.6 on in binary ones.

    No ``ping`` is sent: managers hand it to the kernel as code (``%ping``), which waits for the run
    in progress, and all that is typed waits for it.
    """

    def __init__(self, socket: WebSocket) -> None:
        self.exit_code: int | None = None
        self.connection = ConnectionState()
        self._socket = socket

    async def receive(self) -> bytes:
        data = b""
        try:
            while not data:
                data = decode_typed_out(await self._socket.get_message())
        except ConnectionClosed as exc:
            if exc.reason.code != _NORMAL:
                raise ConnectionFailed(
                    f"the terminal's connection broke ({exc.reason}); output may be missing"
                ) from exc
        return data

    async def type(self, data: bytes) -> None:
        await self._send(Stdin(data))

    async def end(self) -> None:
        await self._send(Stdin(_END_OF_INPUT))

    async def resize(self, rows: int, columns: int) -> None:
        await self._send(Resize(rows, columns))

    async def restart(self) -> None:
        await self._send(Restart())

    async def aclose(self) -> None:
        await self._socket.aclose()

    async def _send(self, message: FromTerminal) -> None:
        await self._socket.send_message(encode_typed(message))
