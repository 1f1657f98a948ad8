"""TLS in front of a server that speaks plain HTTP, as a load balancer has it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import trio
import trustme

from backendai_trio import Config

__all__ = ["certificate_files", "secured"]

HOST = "127.0.0.1"


@cache
def authority() -> tuple[trustme.CA, trustme.LeafCert]:
    """An authority, and a certificate of it for this machine; made once, since it takes long."""
    made = trustme.CA()
    return made, made.issue_cert(HOST)


def certificate_files(folder: Path) -> tuple[Path, Path, Path]:
    """Write PEM files: of the authority, of the certificate chain, and of its key."""
    made, certificate = authority()
    paths = folder / "ca.pem", folder / "chain.pem", folder / "key.pem"
    made.cert_pem.write_to_path(paths[0])
    paths[1].write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(paths[2])
    return paths


@asynccontextmanager
async def secured(config: Config, folder: Path) -> AsyncIterator[Config]:
    """Settings for clients that reach a server by TLS.

    Args:
        config: settings for clients that reach it without.
        folder: for the certificate.
    """
    ca, chain, key = certificate_files(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)

    async def forward(near: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            async with (
                near,
                await trio.open_tcp_stream(HOST, config.endpoint.port) as far,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(copy, near, far, nursery.cancel_scope)
                nursery.start_soon(copy, far, near, nursery.cancel_scope)
        except OSError:
            pass  # the server is gone

    async def copy(
        source: trio.abc.ReceiveStream, sink: trio.abc.SendStream, scope: trio.CancelScope
    ) -> None:
        try:
            async for data in source:
                await sink.send_all(data)
        except trio.BrokenResourceError:
            pass
        scope.cancel()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_ssl_over_tcp_listeners(0, context, host=HOST)
        port = listeners[0].transport_listener.socket.getsockname()[1]
        await nursery.start(trio.serve_listeners, forward, listeners)
        endpoint = config.endpoint._replace(scheme="https", port=port)
        yield replace(config, endpoint=endpoint, ca_file=str(ca))
        nursery.cancel_scope.cancel()
