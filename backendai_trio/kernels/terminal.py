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
_CHUNK_BYTES = 64 * 1024
_MAX_WINDOW = 10_000
_NORMAL = 1000
_CLOSED = "this terminal is closed"


class _TerminalStream(Protocol):
    """The connection to a terminal; each kind of server has its own messages.

    Attributes:
        exit_code: of the shell; None until it has ended, or if the server does not say.
        connection: whether the connection is up.
    """

    exit_code: int | None
    connection: ConnectionState

    async def receive_some(self) -> bytes:
        """The next output; ``b""`` when the shell has ended."""

    async def send_all(self, data: bytes) -> None:
        """Send input."""

    async def send_eof(self) -> None:
        """End the input."""

    async def resize(self, rows: int, columns: int) -> None:
        """Set the size of the window, in characters."""

    async def restart(self) -> None:
        """Restart the kernel."""

    async def aclose(self) -> None:
        """Close the connection, and wake the tasks that wait for it. May be repeated.

        Cancellation: closes it all the same, within a bounded time.
        """


class Terminal(trio.abc.HalfCloseableStream):
    """A terminal in a kernel, as a stream of bytes. Made by `open_terminal`.

    The bytes are those of an xterm-like terminal, with standard output and standard error in one.
    Closing detaches: programs in the terminal go on, and a later `open_terminal` attaches to them
    again.

    One task sends at a time, and one receives.

    Attributes:
        closed: whether this side has closed it, with `aclose` or at the end of its block.
    """

    def __init__(self, stream: _TerminalStream) -> None:
        self._stream = stream
        self._unread = b""
        self._finished = False
        self._input_ended = False
        self.closed = False
        self._receiving = _Call(self, "receiving from")
        self._sending = _Call(self, "sending to")
        self._resizing = _Call(self, "resizing")
        self._restarting = _Call(self, "restarting")

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for output.

        Args:
            max_bytes: the most bytes to return, 1 or more; None for no limit.

        Returns:
            The output; ``b""`` when the shell has ended.

        Raises:
            ValueError: `max_bytes` is less than 1.
            trio.BusyResourceError: another task is receiving.
            trio.ClosedResourceError: the terminal is closed, or is closed meanwhile.
            trio.BrokenResourceError: the connection broke for good; the cause says why.

        Cancellation: loses no output.
        """
        if max_bytes is not None and index(max_bytes) < 1:
            await trio.lowlevel.checkpoint()
            raise ValueError("max_bytes must be at least 1")
        with self._receiving:
            if self._unread or self._finished:
                await trio.lowlevel.checkpoint()
            else:
                self._unread = await self._stream.receive_some()
                self._finished = not self._unread
        size = len(self._unread) if max_bytes is None else max_bytes
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send input, as if typed. Waits while the program is far behind in reading it.

        Args:
            data: any bytes; the terminal's driver gives control characters their usual meaning.

        Raises:
            trio.BusyResourceError: another task is sending.
            trio.ClosedResourceError: the terminal is closed, or its input has ended (`send_eof`).
            trio.BrokenResourceError: the connection broke for good; the cause says why.

        Cancellation: a part of the data may have been sent.
        """
        # Not a full checkpoint: sending is one, and a second would double a key's delay.
        await trio.lowlevel.checkpoint_if_cancelled()
        with self._sending:
            if self._input_ended:
                await trio.lowlevel.cancel_shielded_checkpoint()
                raise trio.ClosedResourceError("the input of this terminal has ended")
            view = memoryview(data)
            if not view:
                await trio.lowlevel.checkpoint()
            for start in range(0, len(view), _CHUNK_BYTES):
                await self._stream.send_all(bytes(view[start : start + _CHUNK_BYTES]))

    async def wait_send_all_might_not_block(self) -> None:
        """Return at once: only sending shows how far behind the program is.

        Raises:
            trio.BusyResourceError: another task is sending.
            trio.ClosedResourceError: the terminal is closed.
        """
        await trio.lowlevel.checkpoint()
        with self._sending:
            pass

    async def send_eof(self) -> None:
        """End the input, as Ctrl-D on an empty line does. May be repeated.

        Raises:
            trio.BusyResourceError: another task is sending.
            trio.ClosedResourceError: the terminal is closed.
            trio.BrokenResourceError: the connection broke for good; the cause says why.
        """
        await trio.lowlevel.checkpoint()
        with self._sending:
            if not self._input_ended:
                await self._stream.send_eof()
                self._input_ended = True

    async def resize(self, rows: int, columns: int) -> None:
        """Set the size of the window. Programs repaint, even if the size is the same.

        Args:
            rows: height in characters, 1 to 10,000.
            columns: width in characters, 1 to 10,000.

        Raises:
            LocalProtocolError: one of them is out of range.
            trio.BusyResourceError: another task is resizing.
            trio.ClosedResourceError: the terminal is closed.
            trio.BrokenResourceError: the connection broke for good; the cause says why.
        """
        await trio.lowlevel.checkpoint()
        if not (0 < rows <= _MAX_WINDOW and 0 < columns <= _MAX_WINDOW):
            raise LocalProtocolError(
                f"a terminal cannot have {rows} rows and {columns} columns; "
                f"both must be 1 to {_MAX_WINDOW:,}"
            )
        with self._resizing:
            await self._stream.resize(rows, columns)

    async def interrupt(self) -> None:
        """Send Ctrl-C.

        Raises:
            trio.BusyResourceError: another task is sending.
            trio.ClosedResourceError: the terminal is closed, or its input has ended.
            trio.BrokenResourceError: the connection broke for good; the cause says why.
        """
        await self.send_all(_INTERRUPT)

    async def restart(self) -> None:
        """Restart the kernel: files stay, variables and processes go.

        The terminal stays open and gets a fresh shell. Managers from 26.4.4 on ignore this.

        Raises:
            trio.BusyResourceError: another task is restarting it.
            trio.ClosedResourceError: the terminal is closed.
            trio.BrokenResourceError: the connection broke for good; the cause says why.
        """
        await trio.lowlevel.checkpoint()
        with self._restarting:
            await self._stream.restart()

    async def aclose(self) -> None:
        """Detach. May be repeated. Calls that wait raise `trio.ClosedResourceError`.

        Raises: no error.

        Cancellation: closes the connection all the same, within a bounded time.
        """
        self.closed = True
        await self._stream.aclose()
        await trio.lowlevel.checkpoint()

    @property
    def connection(self) -> ConnectionState:
        """Whether the connection is up; it comes back only on our own gateway."""
        return self._stream.connection

    @property
    def exit_code(self) -> int | None:
        """Exit code of the shell; None until it has ended, or if the server does not say."""
        return self._stream.exit_code


class _Call:
    """Guards one kind of call: one at a time, none once the terminal is closed, Trio's errors only.

    A class, since a generator would be slower, and every key goes through two of these.
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
async def open_terminal(kernel: TrioKernel, *, term: str | None = None) -> AsyncIterator[Terminal]:
    """Attach to a kernel's terminal; the end of the block detaches.

    On our own gateway the terminal is a shell in the work folder. It outlives the attachment, a
    broken connection is replaced without a gap, and a second attachment ends the first.

    Args:
        kernel: the kernel.
        term: TERM of a shell that is started, such as ``screen``; default: ``xterm-256color``. Only
            our own gateway has that.

    Raises:
        NotFound: there is no such kernel.
        ApiError: the server refused; the runtime may have no terminal.
        ConnectionFailed: the server cannot be reached.

    Endpoint: WebSocket ``/stream/session/{name}/pty`` (docs/protocol.md, sections 6.1 and 13.4).
    """
    client = kernel.client
    path = client.era.stream_path(kernel.address, "pty")
    if client.has(RESUMABLE_STREAMS):
        async with (
            open_resumable(client, path, query=(("term", term),) if term else ()) as stream,
            Terminal(_ResumableTerminal(stream)) as terminal,
        ):
            yield terminal
        return
    async with (
        open_websocket(client, path) as websocket,
        Terminal(_ManagerTerminal(websocket)) as terminal,
    ):
        yield terminal


class _ResumableTerminal:
    """A terminal of our own gateway; a broken connection is replaced without a gap."""

    def __init__(self, stream: ResumableStream) -> None:
        self.exit_code: int | None = None
        self.connection = stream.connection
        self._stream = stream

    async def receive_some(self) -> bytes:
        try:
            message = await self._stream.receive()
        except trio.EndOfChannel:
            return b""
        if isinstance(message, Output):
            return message.data
        # A terminal has only one mark: the end of its shell.
        code = message.fields.get("exit_code")
        self.exit_code = code if isinstance(code, int) else None
        return b""

    async def send_all(self, data: bytes) -> None:
        await self._stream.send(data)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def resize(self, rows: int, columns: int) -> None:
        await self._stream.control({"resize": [rows, columns]}, keep=True)

    async def restart(self) -> None:
        await self._stream.control({"restart": True})

    async def aclose(self) -> None:
        await self._stream.aclose()


class _ManagerTerminal:
    """A terminal of a manager: JSON with base64, in text frames, from 25.6 on in binary ones.

    It sends no ``ping`` message: managers give that to the kernel as code (``%ping``), which waits
    for the run in progress, and the input behind it waits as well.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self.exit_code: int | None = None
        self.connection = ConnectionState()
        self._websocket = websocket

    async def receive_some(self) -> bytes:
        data = b""
        try:
            while not data:
                data = decode_typed_out(await self._websocket.get_message())
        except ConnectionClosed as exc:
            if exc.reason.code != _NORMAL:
                raise ConnectionFailed(
                    f"the terminal's connection broke ({exc.reason}); output may be missing"
                ) from exc
        return data

    async def send_all(self, data: bytes) -> None:
        await self._send(Stdin(data))

    async def send_eof(self) -> None:
        await self._send(Stdin(_END_OF_INPUT))

    async def resize(self, rows: int, columns: int) -> None:
        await self._send(Resize(rows, columns))

    async def restart(self) -> None:
        await self._send(Restart())

    async def aclose(self) -> None:
        await self._websocket.aclose()

    async def _send(self, message: FromTerminal) -> None:
        await self._websocket.send_message(encode_typed(message))
