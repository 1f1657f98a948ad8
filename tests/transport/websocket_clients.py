"""WebSockets of the client to scripted servers, in plain and over TLS."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio
import trio.testing
import trustme

from backendai_trio import Client, open_client
from backendai_trio.transport.websocket import WebSocket
from backendai_trio.transport.websocket_connect import open_websocket

from .servers import HELLO, Handler, read_head, serving
from .websocket_servers import Script, accepting


@asynccontextmanager
async def connected(script: Script, **options: Any) -> AsyncIterator[WebSocket]:
    """A WebSocket to a server that accepts it and goes on with `script`."""
    async with (
        serving(accepting(script)) as config,
        open_client(config) as client,
        open_websocket(client, "/socket", **options) as opened,
    ):
        yield opened


async def begin_and_cancel(opened: WebSocket, size: int) -> None:
    """Send a message that is larger than any buffers, and cancel that when they are full."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(opened.send_message, bytes(size))
        await trio.testing.wait_all_tasks_blocked(0.1)
        assert opened.closed is None
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def secure_client(
    authority: trustme.CA, tmp_path: Path, handlers: list[Handler]
) -> AsyncIterator[Client]:
    """A client of a server whose connections, one after another, have these handlers."""

    async def handle(stream: trio.SocketStream) -> None:
        await handlers.pop(0)(stream)

    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with serving(handle) as config:
        endpoint = config.endpoint._replace(scheme="https")
        config = replace(config, endpoint=endpoint, ca_file=str(tmp_path / "ca.pem"))
        async with open_client(config) as client:
            yield client


def behind_tls(
    certificate: trustme.LeafCert,
    handler: Handler,
    *,
    tickets: int = 2,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> Handler:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.num_tickets = tickets
    context.maximum_version = version
    certificate.configure_cert(context)

    async def handle(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        await handler(secure)  # type: ignore[arg-type]

    return handle


async def say_hello(stream: trio.SocketStream) -> None:
    while await read_head(stream):
        await stream.send_all(HELLO)
