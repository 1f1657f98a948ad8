"""TLS of the client: authorities, certificates, and handshakes that fail."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trustme

from backendai_trio import ConfigError, ConnectionFailed, KernelSpec, open_client, open_kernel
from backendai_trio.config.endpoints import parse_endpoint
from backendai_trio.errors import InsecureConnectionWarning
from backendai_trio.gateway import Gateway
from backendai_trio.transport.tls import tls_context

from .servers import INFO, KEYS, read_head, serving


async def test_own_authority(
    secure: Gateway, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert secure.url.startswith("https://")
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BACKEND_ENDPOINT", secure.url)
    monkeypatch.setenv("BACKEND_ACCESS_KEY", secure.config.access_key)
    monkeypatch.setenv("BACKEND_SECRET_KEY", secure.config.secret_key)
    monkeypatch.setenv("BACKEND_CA_FILE", str(ca_file))
    async with open_client() as client:
        assert (await client.call(INFO)).status == 200
        # Code runs over it as well, however its messages travel.
        async with (
            open_kernel(client, KernelSpec(runtime="python")) as kernel,
            kernel.execute("print(1)") as execution,
        ):
            assert len([event async for event in execution]) == 2


async def test_certificate_that_is_not_trusted(secure: Gateway) -> None:
    with pytest.raises(ConnectionFailed, match="BACKEND_CA_FILE") as caught:
        async with open_client(secure.config):
            pass
    assert "not trusted" in str(caught.value)


async def test_certificate_of_another_host(
    secure: Gateway, authority: trustme.CA, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    endpoint = secure.config.endpoint._replace(host="localhost")
    config = replace(secure.config, endpoint=endpoint, ca_file=str(ca_file))
    with pytest.raises(ConnectionFailed, match="certificate is for another name") as caught:
        async with open_client(config):
            pass
    assert "BACKEND_CA_FILE" not in str(caught.value)


async def test_tls_that_fails_after_the_handshake(tmp_path: Path) -> None:
    """It is told as such, and not as a connection that broke."""
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    async def broken(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, theirs, server_side=True)
        data = b""
        while b"\r\n\r\n" not in data:
            data += await secure.receive_some()
        await stream.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))  # a record of nonsense
        await read_head(stream)

    async with serving(broken) as config:
        endpoint = config.endpoint._replace(scheme="https")
        secured = replace(config, endpoint=endpoint, ca_file=str(tmp_path / "ca.pem"))
        with pytest.raises(ConnectionFailed, match="TLS failed"):
            async with open_client(secured):
                pass


async def test_server_that_closes_during_the_tls_handshake() -> None:
    async def slam(stream: trio.SocketStream) -> None:
        await stream.receive_some()

    async with serving(slam) as config:
        endpoint = config.endpoint._replace(scheme="https")
        with pytest.raises(ConnectionFailed, match=f"cannot connect to {endpoint.url}"):
            async with open_client(replace(config, endpoint=endpoint)):
                pass


async def test_checks_that_are_off_warn_each_time(secure: Gateway) -> None:
    config = replace(secure.config, verify_tls=False)
    for _ in range(2):
        with pytest.warns(InsecureConnectionWarning, match="SKIP_SSLCERT_VALIDATION") as seen:
            async with open_client(config) as client:
                assert (await client.call(INFO)).status == 200
        # It points at whoever opened the client, not into the library.
        assert seen[0].filename == __file__


async def test_file_that_holds_no_certificates(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    config = replace(KEYS, endpoint=parse_endpoint("https://127.0.0.1:1"), ca_file=str(path))
    with pytest.raises(ConfigError, match=r"ca\.pem") as caught:
        async with open_client(config):
            pass
    assert caught.value.variable == "BACKEND_CA_FILE"


def test_plain_http_needs_no_context() -> None:
    assert tls_context(KEYS) is None
    secure = replace(KEYS, endpoint=parse_endpoint("https://127.0.0.1:1"))
    context = tls_context(secure)
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
