"""A kernel's terminal, as a stream of bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import index
from types import TracebackType

import trio

from ..errors import BackendError, LocalProtocolError
from ..transport.connection_state import ConnectionState
from ..transport.websocket import ConnectionClosed
from .kernel import TrioKernel
from .one_at_a_time import OneAtATime
from .terminal_stream import TerminalStream, open_terminal_stream

__all__ = ["Terminal", "open_terminal"]

_INTERRUPT = b"\x03"
_CHUNK_BYTES = 64 * 1024
_MAX_WINDOW = 10_000
_CLOSED = "this terminal is closed"


class Terminal(trio.abc.HalfCloseableStream):
    """A terminal in a kernel, as a stream of bytes. Made by `open_terminal`.

    The bytes are those of an xterm-like terminal, with standard output and standard error in one.
    Closing detaches: programs in the terminal go on, and a later `open_terminal` attaches to them
    again.

    One task sends at a time, and one receives.

    Attributes:
        closed: whether this side has closed it, with `aclose` or at the end of its block.
    """

    def __init__(self, stream: TerminalStream) -> None:
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

        The terminal stays open and gets a fresh shell. Managers do not answer this: code that is
        run there right after it may be ended by the restart. Those from 26.4.4 on ignore it.

        Raises:
            trio.BusyResourceError: another task is restarting it.
            trio.ClosedResourceError: the terminal is closed.
            trio.BrokenResourceError: the connection broke for good; the cause says why (managers).
            ApiError, ConnectionFailed: the restart failed (our own gateway).

        Cancellation: a restart that was sent goes on.

        Endpoint: our own gateway's ``PATCH /session/{name}`` (docs/protocol.md, section 3.1);
        managers: a message of the terminal.
        """
        if self.closed:
            await trio.lowlevel.checkpoint()
            raise trio.ClosedResourceError("the terminal is closed")
        await trio.lowlevel.checkpoint()
        with self._restarting:
            await self._stream.restart()

    async def aclose(self) -> None:
        """Detach. May be repeated. Calls that wait raise `trio.ClosedResourceError`.

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


class _Call(OneAtATime):
    """Guards one kind of call: one at a time, none on a closed terminal, and Trio's errors only."""

    __slots__ = ("_terminal",)

    def __init__(self, terminal: Terminal, call: str) -> None:
        super().__init__(f"{call} this terminal")
        self._terminal = terminal

    def __enter__(self) -> None:
        if self._terminal.closed:
            raise trio.ClosedResourceError(_CLOSED)
        super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, traceback)
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
    async with (
        open_terminal_stream(kernel.client, kernel.address, term=term) as stream,
        Terminal(stream) as terminal,
    ):
        yield terminal
