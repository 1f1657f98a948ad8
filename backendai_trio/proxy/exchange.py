"""An HTTP request of a client: its body, and the answer to it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile

import trio
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Message, Receive, Send

from ..transport.client import Client
from ..wire.http import OCTETS
from ..wire.signing import body_is_signed

__all__ = [
    "Body",
    "ClientGone",
    "Incoming",
    "answer",
    "begin_answer",
    "end_answer",
    "open_body",
    "send_chunk",
]

_SPOOL_BYTES = 1024 * 1024
"""A body whose hash must be known before it is sent is kept in a file from this size on."""
_CHUNK_BYTES = 64 * 1024


class ClientGone(Exception):
    """The client has hung up."""


class Incoming:
    """What a client sends for a request: its body, and that it has hung up."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def receive(self) -> Message:
        """The next message."""
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._ended = True
        return message

    async def body(self) -> AsyncGenerator[bytes, None]:
        """The body in chunks, as they arrive.

        Raises:
            ClientGone: the client has hung up.
        """
        while not self._ended:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if chunk := message.get("body", b""):
                yield chunk

    async def discard(self) -> None:
        """Read the rest of the body: the server must not end an answer before the request."""
        while not self._ended:
            await self.receive()

    async def raise_when_gone(self) -> None:
        """Wait until the client hangs up.

        Raises:
            ClientGone: it has.
        """
        while (await self.receive())["type"] != "http.disconnect":
            pass
        raise ClientGone


async def answer(response: Response, incoming: Incoming, send: Send) -> None:
    """Answer a request whatever is left of its body: the client may still be sending it."""
    await begin_answer(send, response.status_code, response.headers.items())
    await send_chunk(send, bytes(response.body))
    await incoming.discard()
    await end_answer(send)


async def begin_answer(send: Send, status: int, headers: Iterable[tuple[str, str]]) -> None:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def send_chunk(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def end_answer(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@dataclass(frozen=True)
class Body:
    """A request's body."""

    chunks: AsyncIterator[bytes]
    size: int | None
    """In bytes; None when it is sent in chunks."""
    digest: str | None = None
    """Its hash, where that is signed."""


@asynccontextmanager
async def open_body(headers: Headers, incoming: Incoming, client: Client) -> AsyncIterator[Body]:
    """A request's body, ready to be sent.

    Servers of the seed era need its hash before the body itself; there it goes through a file.
    """
    size = None if "transfer-encoding" in headers else int(headers.get("content-length", "0"))
    media_type = headers.get("content-type", OCTETS).partition(";")[0].strip().lower()
    if not body_is_signed(client.era.version, media_type):
        async with aclosing(incoming.body()) as body:
            yield Body(body, size)
        return
    digest = hashlib.new(client.config.hash_name)
    size = 0
    with SpooledTemporaryFile(_SPOOL_BYTES) as spooled:
        async with aclosing(incoming.body()) as body:
            async for chunk in body:
                digest.update(chunk)
                size += await trio.to_thread.run_sync(spooled.write, chunk)
        spooled.seek(0)

        async def chunks() -> AsyncGenerator[bytes, None]:
            while chunk := await trio.to_thread.run_sync(spooled.read, _CHUNK_BYTES):
                yield chunk

        async with aclosing(chunks()) as again:
            yield Body(again, size, digest.hexdigest())
