"""The connection to a terminal: a WebSocket of a manager, or a resumable stream of our gateway."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import trio

from ..errors import ConnectionFailed
from ..transport.client import Client
from ..transport.connection_state import ConnectionState
from ..transport.resumable import ResumableStream, open_resumable
from ..transport.websocket import ConnectionClosed, WebSocket
from ..transport.websocket_connect import open_websocket
from ..wire.http import Request
from ..wire.manager_streams import (
    FromTerminal,
    Resize,
    Restart,
    Stdin,
    decode_typed_out,
    encode_typed,
)
from ..wire.resumable import RESUMABLE_STREAMS, Output
from .kernel_records import KernelRecord, record_of
from .run_turns import wait_until_ready

__all__ = ["TerminalStream", "open_terminal_stream"]

_END_OF_INPUT = b"\x04"
_NORMAL = 1000


class TerminalStream(Protocol):
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


@asynccontextmanager
async def open_terminal_stream(
    client: Client, address: str, *, term: str | None
) -> AsyncIterator[TerminalStream]:
    """Connect to a kernel's terminal, in the way that the server has; see `open_terminal`.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.
        term: TERM of a shell that is started.
    """
    path = client.era.stream_path(address, "pty")
    if client.has(RESUMABLE_STREAMS):
        # By this name the gateway knows a client that comes back when its shell has ended.
        query = [("client", secrets.token_hex(8)), *([("term", term)] if term else [])]
        async with open_resumable(client, path, query=tuple(query)) as stream:
            yield _ResumableTerminal(stream, client, address)
        return
    # What is typed before the kernel has come up is lost on 1.x (measured: 1.1.0, 1.3.12).
    await wait_until_ready(client, address)
    async with open_websocket(client, path) as websocket:
        yield _ManagerTerminal(websocket, record_of(client, address))


class _ResumableTerminal:
    """A terminal of our own gateway; a broken connection is replaced without a gap."""

    def __init__(self, stream: ResumableStream, client: Client, address: str) -> None:
        self.exit_code: int | None = None
        self.connection = stream.connection
        self._stream = stream
        self._client = client
        self._address = address

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
        # Not by a message of the stream, which nothing answers: it could hit the next run.
        request = Request("PATCH", self._client.era.session_path(self._address))
        await self._client.call(request)

    async def aclose(self) -> None:
        await self._stream.aclose()


class _ManagerTerminal:
    """A terminal of a manager: JSON with base64, in text frames, from 25.6 on in binary ones.

    It sends no ``ping`` message: managers give that to the kernel as code (``%ping``), which waits
    for the run in progress, and the input behind it waits as well.
    """

    def __init__(self, websocket: WebSocket, record: KernelRecord) -> None:
        self.exit_code: int | None = None
        self.connection = ConnectionState()
        self._websocket = websocket
        self._record = record

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
        self._record.reset()

    async def aclose(self) -> None:
        await self._websocket.aclose()

    async def _send(self, message: FromTerminal) -> None:
        await self._websocket.send_message(encode_typed(message))
