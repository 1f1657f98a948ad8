"""Forward proxies that refuse, fail, or are none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from backendai_trio import (
    open_gateway,
)

from ...transport.servers import (
    ForwardingProxy,
    Handler,
    SocksProxy,
    closed_port,
    serving,
)
from .registry import (
    KEY_PAIR,
    SITUATIONS,
    Variables,
    answering,
    page,
    silent,
    situation,
    variables_of,
)


@asynccontextmanager
async def _through(handler: Handler, variable: str, **more: str) -> AsyncIterator[Variables]:
    """A gateway behind a proxy; `more` replaces parts of the proxy's URL."""
    async with open_gateway() as gateway, serving(handler) as proxy:
        url = f"{more.get('scheme', 'http')}://{more.get('login', '')}{proxy.endpoint.host_header}"
        yield {**variables_of(gateway.config), variable: url}


@situation
@asynccontextmanager
async def a_proxy_with_a_password(work: Path) -> AsyncIterator[Variables]:
    proxy = ForwardingProxy()
    proxy.password = "pass-word"
    async with _through(proxy.handle, "HTTP_PROXY") as variables:
        yield variables


@situation
@asynccontextmanager
async def a_proxy_with_another_password(work: Path) -> AsyncIterator[Variables]:
    proxy = ForwardingProxy()
    proxy.password = "pass-word"
    async with _through(proxy.handle, "http_proxy", login="user:wrong@") as variables:
        yield variables


@situation
@asynccontextmanager
async def a_proxy_that_is_down(work: Path) -> AsyncIterator[Variables]:
    url = f"http://127.0.0.1:{await closed_port()}"
    yield {**KEY_PAIR, "BACKEND_ENDPOINT": "http://manager.example.com", "HTTP_PROXY": url}


@situation
@asynccontextmanager
async def a_SOCKS_proxy_that_is_down(work: Path) -> AsyncIterator[Variables]:
    url = f"socks5://127.0.0.1:{await closed_port()}"
    yield {**KEY_PAIR, "BACKEND_ENDPOINT": "http://127.0.0.1:1", "ALL_PROXY": url}


@situation
@asynccontextmanager
async def a_SOCKS_proxy_that_refuses(work: Path) -> AsyncIterator[Variables]:
    proxy = SocksProxy()
    proxy.refuses = True
    async with _through(proxy.handle, "all_proxy", scheme="socks5h") as variables:
        yield variables


@situation
@asynccontextmanager
async def a_SOCKS_proxy_with_a_password(work: Path) -> AsyncIterator[Variables]:
    proxy = SocksProxy((b"user", b"pass-word"))
    async with _through(proxy.handle, "ALL_PROXY", scheme="socks5") as variables:
        yield variables


def _broken(
    name: str, handler: Handler, *, scheme: str = "https", variable: str = "", seconds: float = 0
) -> None:
    """A proxy that does not reach the server; nothing is sent to that.

    Args:
        name: of the situation.
        handler: serves the proxy's connections.
        scheme: of the server.
        variable: which one names the proxy; default: that of the scheme.
        seconds: limit for connections; 0 for the usual one.
    """

    @asynccontextmanager
    async def broken(work: Path) -> AsyncIterator[Variables]:
        limit = {"BACKEND_CONNECTION_TIMEOUT": f"{seconds}"} if seconds else {}
        endpoint = {"BACKEND_ENDPOINT": f"{scheme}://manager.example.com"}
        async with serving(handler) as proxy:
            named = {variable or f"{scheme.upper()}_PROXY": proxy.endpoint.url}
            yield {**KEY_PAIR, **endpoint, **limit, **named}

    SITUATIONS[name] = broken


async def _refuse(stream: trio.SocketStream) -> None:
    proxy = ForwardingProxy()
    proxy.refuses_connect = True
    await proxy.handle(stream)


_broken("a proxy that is silent", silent, variable="https_proxy", seconds=0.2)
_broken("a proxy that refuses to connect", _refuse)
_broken("a proxy with a page of 502", answering(page(502, "Bad Gateway")), scheme="http")
_broken("a proxy that is none", answering(b"220 mail.example ESMTP\r\n"))
