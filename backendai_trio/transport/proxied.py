"""Ways through a proxy: for requests by the HTTP library, for all else by a tunnel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import httpcore2
import trio

from ..config.settings import Config
from ..errors import ConfigError, ConnectionFailed
from .requests import Sent, framing

__all__ = ["ProxiedPool", "open_tunnel", "proxy_of", "takes_tunnels"]

_SCHEMES = ("http", "https", "socks5", "socks5h")
_READ_BYTES = 64 * 1024
_ABORT_SECONDS = 1.0


def proxy_of(config: Config) -> httpcore2.Proxy | None:
    """The proxy that requests go through; None if they go directly.

    Raises:
        ConfigError: it is not the URL of one.
    """
    if config.proxy is None:
        return None
    scheme, _, rest = config.proxy.partition("://")
    # The user name and password of the URL go into a header, never into a message.
    head, at, tail = rest.rpartition("@")
    user, _, password = head.partition(":")
    try:
        if scheme not in _SCHEMES or not tail:
            raise ValueError
        return httpcore2.Proxy(f"{scheme}://{tail}", auth=(user, password) if at else None)
    except (ValueError, TypeError):
        raise ConfigError(_variable(config), "not a proxy URL such as http://host:port") from None


class ProxiedPool:
    """The HTTP library's connections; as a context manager, it closes them all."""

    def __init__(self, pool: httpcore2.AsyncConnectionPool) -> None:
        self._pool = pool

    async def exchange(self, sent: Sent) -> _Reply:
        """See `Exchanges.exchange`."""
        endpoint, head = sent.endpoint, sent.head
        request = httpcore2.Request(
            head.method,
            httpcore2.URL(
                scheme=endpoint.scheme.encode(),
                host=endpoint.host.encode(),
                port=endpoint.port,
                target=head.target.encode(),
            ),
            headers=[
                (name.encode(), value.encode())
                for name, value in (*head.fields.items(), framing(sent.size))
            ],
            content=sent.content,
            extensions={
                "timeout": {
                    "connect": _limit(sent.connect_seconds),
                    "write": _limit(sent.write_seconds),
                    "read": _limit(sent.read_seconds),
                }
            },
        )
        return _Reply(await self._pool.handle_async_request(request))

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._pool.__aexit__(kind, error, traceback)  # noqa: ASYNC102 (the library's)


class _Reply:
    """See `Received`."""

    def __init__(self, response: httpcore2.Response) -> None:
        self.status = response.status
        self.headers = [
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in response.headers
        ]
        self._response = response
        self._pieces = response.aiter_stream()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        await self._response.aclose()


def takes_tunnels(config: Config) -> bool:
    """Whether `open_tunnel` can go through the proxy of these settings."""
    return config.proxy is None or not config.proxy.startswith("socks")


async def open_tunnel(
    config: Config, proxy: httpcore2.Proxy, socket_options: Sequence[tuple[int, int, int]] = ()
) -> trio.abc.Stream:
    """Have an HTTP proxy connect us to the server (``CONNECT``); bytes go as they are from then on.

    Args:
        config: the settings.
        proxy: its address.
        socket_options: arguments of `setsockopt` for the connection to it.

    Raises:
        ConnectionFailed: the proxy cannot be reached, refuses, or is none of HTTP.
    """
    endpoint = config.endpoint
    if not takes_tunnels(config):
        raise ConnectionFailed(
            f"WebSockets to {endpoint.url} cannot go through a SOCKS proxy; "
            f"name an HTTP proxy in {_variable(config)}"
        )
    way = httpcore2.AsyncHTTPConnection(
        httpcore2.Origin(proxy.url.scheme, proxy.url.host, _port(proxy)),
        socket_options=socket_options,
    )
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    target = f"{host}:{endpoint.port}".encode()
    url = httpcore2.URL(
        scheme=proxy.url.scheme, host=proxy.url.host, port=proxy.url.port, target=target
    )
    headers = [(b"Host", target), (b"User-Agent", config.user_agent.encode()), *proxy.headers]
    request = httpcore2.Request("CONNECT", url, headers=headers)
    opened = False
    try:
        answer = await way.handle_async_request(request)
        if not 200 <= answer.status < 300:
            raise ConnectionFailed(
                f"the proxy on the way to {endpoint.url} refused: HTTP status {answer.status}"
            )
        opened = True
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as exc:
        raise ConnectionFailed(
            f"cannot go through the proxy on the way to {endpoint.url}: {exc or 'no answer'}"
        ) from exc
    finally:
        if not opened:
            with trio.move_on_after(_ABORT_SECONDS, shield=True):
                await way.aclose()
    return _Tunnel(answer.extensions["network_stream"])


class _Tunnel(trio.abc.Stream):
    """What the HTTP library leaves of a connection, as one of Trio's streams."""

    def __init__(self, network: httpcore2.AsyncNetworkStream) -> None:
        self._network = network

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with _broken():
            await self._network.write(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        with _broken():
            return await self._network.read(max_bytes or _READ_BYTES)

    async def aclose(self) -> None:
        await self._network.aclose()


@contextmanager
def _broken() -> Iterator[None]:
    try:
        yield
    except httpcore2.NetworkError as exc:
        raise trio.BrokenResourceError(str(exc)) from exc


def _limit(seconds: float) -> float | None:
    return None if seconds == math.inf else seconds


def _port(proxy: httpcore2.Proxy) -> int:
    return proxy.url.port or (443 if proxy.url.scheme == b"https" else 80)


def _variable(config: Config) -> str:
    return f"{config.endpoint.scheme.upper()}_PROXY"
