"""Fixtures of the tests of transports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from backendai_trio import GatewayOptions, open_gateway
from backendai_trio.gateway import Gateway

from .servers import ForwardingProxy, serving


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that no system trusts."""
    return trustme.CA()


@pytest.fixture
async def secure(
    authority: trustme.CA, tmp_path: Path, gateway_parent: Path
) -> AsyncIterator[Gateway]:
    """A gateway behind TLS."""
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(chain, append=True)
    certificate.private_key_pem.write_to_path(key)
    async with open_gateway(GatewayOptions(certificate=(chain, key))) as gateway:
        yield gateway


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[ForwardingProxy]:
    """A proxy that the environment names."""
    forwarding = ForwardingProxy()
    async with serving(forwarding.handle) as config:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HTTP_PROXY", config.endpoint.url)
        monkeypatch.setenv("HTTPS_PROXY", config.endpoint.url)
        yield forwarding
