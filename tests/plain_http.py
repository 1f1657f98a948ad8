"""A plain HTTP client on h11, which shares nothing with our HTTP: a connection for each request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h11
import trio

from backendai_trio._groups import one_error

Content = bytes | AsyncIterator[bytes]


@dataclass
class PlainResponse:
    """A response: its head, then its body as it comes."""

    status: int
    headers: list[tuple[bytes, bytes]]
    chunks: AsyncGenerator[bytes] = field(repr=False)
    content: bytes = b""


@asynccontextmanager
async def stream(
    method: str,
    url: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    content: Content = b"",
) -> AsyncIterator[PlainResponse]:
    """Send a request, and give its response once the head is there.

    Raises:
        h11.RemoteProtocolError: the server does not speak HTTP, or hangs up too early.
    """
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    target = url.removeprefix(f"http://{parts.netloc}") or "/"
    fields = {"host": parts.netloc} | {name.lower(): value for name, value in headers}
    if isinstance(content, bytes) and (content or method not in ("GET", "HEAD")):
        fields.setdefault("content-length", str(len(content)))
    elif not isinstance(content, bytes) and "content-length" not in fields:
        fields["transfer-encoding"] = "chunked"
    state = h11.Connection(h11.CLIENT)
    async with await trio.open_tcp_stream(parts.hostname, parts.port) as connection:

        async def send_body() -> None:
            try:
                if isinstance(content, bytes):
                    await connection.send_all(state.send(h11.Data(content)) or b"")
                else:
                    async for chunk in content:
                        await connection.send_all(state.send(h11.Data(chunk)) or b"")
                await connection.send_all(state.send(h11.EndOfMessage()) or b"")
            except trio.BrokenResourceError:
                pass  # its answer is what counts

        async def next_event() -> h11.Event | type[h11.PAUSED]:
            while (event := state.next_event()) is h11.NEED_DATA:
                state.receive_data(await connection.receive_some(65536))
            return event  # type: ignore[return-value]

        async def chunks() -> AsyncGenerator[bytes]:
            while isinstance(event := await next_event(), h11.Data):
                yield bytes(event.data)

        encoded = [(name.encode(), value.encode("latin-1")) for name, value in fields.items()]
        request = h11.Request(method=method, target=target, headers=encoded)
        await connection.send_all(state.send(request) or b"")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_body)
            while not isinstance(head := await next_event(), h11.Response):
                assert isinstance(head, h11.InformationalResponse)
            async with aclosing(chunks()) as body:
                yield PlainResponse(head.status_code, list(head.headers), body)
            nursery.cancel_scope.cancel()


async def request(
    method: str, url: str, *, headers: Sequence[tuple[str, str]] = (), content: Content = b""
) -> PlainResponse:
    """Send a request and receive its response whole."""
    with one_error():
        async with stream(method, url, headers=headers, content=content) as response:
            response.content = b"".join([chunk async for chunk in response.chunks])
            return response
    raise AssertionError
