"""Certificates and schemes that do not fit."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import trio
import trustme

from backendai_trio import (
    open_gateway,
)

from ...transport.servers import (
    HELLO,
    read_head,
    serving,
)
from .registry import (
    Variables,
    situation,
    variables_of,
)


@cache
def authority() -> trustme.CA:
    """A certificate authority that no system trusts."""
    return trustme.CA()


@asynccontextmanager
async def _secured(
    work: Path, certificate: trustme.LeafCert | None, *, trusted: bool, scheme: str = "https"
) -> AsyncIterator[Variables]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is None:  # self-signed
        root = trustme.CA()
        pem = work / "self-signed.pem"
        root.private_key_pem.write_to_path(pem)
        root.cert_pem.write_to_path(pem, append=True)
        context.load_cert_chain(pem)
    else:
        certificate.configure_cert(context)
    authority().cert_pem.write_to_path(work / "ca.pem")

    async def greet(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        while await read_head(secure):
            await secure.send_all(HELLO)

    async with serving(greet) as config:
        url = f"{scheme}://{config.endpoint.host_header}"
        found = {**variables_of(config), "BACKEND_ENDPOINT": url}
        yield {**found, "BACKEND_CA_FILE": "ca.pem"} if trusted else found


@situation
@asynccontextmanager
async def TLS_of_another_host(work: Path) -> AsyncIterator[Variables]:
    certificate = authority().issue_cert("manager.example.com")
    async with _secured(work, certificate, trusted=True) as variables:
        yield variables


@situation
@asynccontextmanager
async def TLS_of_another_host_by_name(work: Path) -> AsyncIterator[Variables]:
    certificate = authority().issue_cert("manager.example.com")
    async with _secured(work, certificate, trusted=True) as variables:
        url = variables["BACKEND_ENDPOINT"].replace("127.0.0.1", "localhost")
        yield {**variables, "BACKEND_ENDPOINT": url}


@situation
@asynccontextmanager
async def TLS_that_has_expired(work: Path) -> AsyncIterator[Variables]:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    certificate = authority().issue_cert("127.0.0.1", not_after=yesterday)
    async with _secured(work, certificate, trusted=True) as variables:
        yield variables


@situation
@asynccontextmanager
async def TLS_of_an_own_authority(work: Path) -> AsyncIterator[Variables]:
    async with _secured(work, authority().issue_cert("127.0.0.1"), trusted=False) as variables:
        yield variables


@situation
@asynccontextmanager
async def TLS_of_another_authority(work: Path) -> AsyncIterator[Variables]:
    """Than the one that BACKEND_CA_FILE names."""
    async with _secured(work, trustme.CA().issue_cert("127.0.0.1"), trusted=True) as variables:
        yield variables


@situation
@asynccontextmanager
async def TLS_with_a_self_signed_certificate(work: Path) -> AsyncIterator[Variables]:
    async with _secured(work, None, trusted=False) as variables:
        yield variables


@situation
@asynccontextmanager
async def https_to_a_plain_port(work: Path) -> AsyncIterator[Variables]:
    async with open_gateway() as gateway:
        url = gateway.url.replace("http:", "https:")
        yield {**variables_of(gateway.config), "BACKEND_ENDPOINT": url}


@situation
@asynccontextmanager
async def http_to_a_TLS_port(work: Path) -> AsyncIterator[Variables]:
    certificate = authority().issue_cert("127.0.0.1")
    async with _secured(work, certificate, trusted=True, scheme="http") as variables:
        yield variables
