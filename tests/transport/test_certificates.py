"""Servers that are not to be trusted: the client notices during the handshake, whatever it connects
for, and has sent nothing by then."""

from __future__ import annotations

import ipaddress
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from backendai_trio import Config, ConnectionFailed, open_client
from backendai_trio.config.endpoints import parse_endpoint
from backendai_trio.transport.tls import tls_context, verifying_context
from backendai_trio.transport.websocket_connect import open_websocket

from .servers import HELLO, KEYS, read_head, serving

HOST = "127.0.0.1"
SECURE = parse_endpoint("https://manager.example.com")
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@dataclass
class Certified:
    """A certificate and its key."""

    key: CertificateIssuerPrivateKeyTypes
    certificate: x509.Certificate
    above: list[x509.Certificate] = field(default_factory=list)
    """What a server sends with it."""

    def pem(self) -> bytes:
        form = serialization.Encoding.PEM
        return b"".join(one.public_bytes(form) for one in (self.certificate, *self.above))

    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )


def issue(
    name: str,
    issuer: Certified | None = None,
    *,
    address: str | None = HOST,
    authority: bool = False,
    since: timedelta = -DAY,
    until: timedelta = DAY,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
    key: CertificateIssuerPrivateKeyTypes | None = None,
) -> Certified:
    """Make a certificate; without an issuer it is self-signed."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + since)
        .not_valid_after(NOW + until)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if address is not None:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            builder = builder.add_extension(names, critical=False)
    signed = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    return Certified(key, signed)


ROOT = issue("Test CA", authority=True)


def of_a_leaf() -> Certified:
    """Somebody who has a certificate of a server makes one for another server."""
    leaf = issue("leaf", ROOT)
    forged = issue("forged", leaf)
    forged.above = [leaf.certificate]
    return forged


def of_an_expired_intermediate() -> Certified:
    middle = issue("middle", ROOT, authority=True, since=-2 * DAY, until=-DAY)
    made = issue("server", middle)
    made.above = [middle.certificate]
    return made


SECOND = timedelta(seconds=1)
BAD: dict[str, tuple[Callable[[], Certified], str]] = {
    "other host": (lambda: issue("server", ROOT, address="10.1.2.3"), "for another name"),
    "name only": (lambda: issue(HOST, ROOT, address=None), "for another name"),
    "expired": (lambda: issue("server", ROOT, since=-9 * DAY, until=-DAY), "expired"),
    # A short life is what revokes a certificate here: it ended a second ago.
    "short life": (
        lambda: issue("server", ROOT, since=-timedelta(hours=1), until=-SECOND),
        "expired",
    ),
    "not yet valid": (lambda: issue("server", ROOT, since=DAY, until=2 * DAY), "not valid yet"),
    "self-signed": (lambda: issue("server"), "not trusted"),
    "other authority": (
        lambda: issue("server", issue("Test CA", authority=True)),
        "not trusted",
    ),
    "wrong purpose": (
        lambda: issue("server", ROOT, purpose=ExtendedKeyUsageOID.CLIENT_AUTH),
        "unsuitable certificate purpose",
    ),
    "of a leaf": (of_a_leaf, "not trusted"),
    "expired intermediate": (of_an_expired_intermediate, "expired"),
    "weak key": (
        lambda: issue("server", ROOT, key=rsa.generate_private_key(65537, 1024)),
        "too weak",
    ),
}
PROTOCOLS = {"TLS 1.0": ssl.TLSVersion.TLSv1, "TLS 1.1": ssl.TLSVersion.TLSv1_1}


class Server:
    """A server over TLS.

    Attributes:
        received: what it has received from clients, decrypted.
    """

    def __init__(self, folder: Path, certified: Certified) -> None:
        self.received = bytearray()
        chain, key = folder / "chain.pem", folder / "key.pem"
        chain.write_bytes(certified.pem())
        key.write_bytes(certified.key_pem())
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_ciphers("DEFAULT:@SECLEVEL=0")  # else it does not take what is weak
        self.context.load_cert_chain(chain, key)

    async def handle(self, stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, self.context, server_side=True, https_compatible=True)
        while head := await read_head(secure):
            self.received += head
            await secure.send_all(HELLO)


@asynccontextmanager
async def bad_server(folder: Path, what: str) -> AsyncIterator[tuple[Server, Config]]:
    """A server with a fault, and settings that lead to it."""
    if what in BAD:
        server = Server(folder, BAD[what][0]())
    else:
        server = Server(folder, issue("server", ROOT))
        if what in PROTOCOLS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # these versions are
                server.context.minimum_version = ssl.TLSVersion.TLSv1
                server.context.maximum_version = PROTOCOLS[what]
    (folder / "ca.pem").write_bytes(ROOT.pem())
    async with serving(server.handle) as config:
        endpoint = config.endpoint._replace(scheme="https")
        yield server, replace(config, endpoint=endpoint, ca_file=str(folder / "ca.pem"))


async def test_good_server(tmp_path: Path) -> None:
    """The certificates of these tests are as they have to be, except for the fault."""
    async with bad_server(tmp_path, "none") as (server, config), open_client(config):
        assert b"GET / HTTP/1.1" in server.received


@pytest.mark.parametrize("what", [*BAD, *PROTOCOLS])
async def test_bad_server(tmp_path: Path, what: str) -> None:
    text = BAD[what][1] if what in BAD else "TLS failed"
    async with bad_server(tmp_path, what) as (server, config):
        with pytest.raises(ConnectionFailed, match=rf"cannot connect to https://.*{text}"):
            async with open_client(config):
                pass
        assert server.received == b""


@pytest.mark.parametrize("what", ["expired", "other host", "self-signed", "TLS 1.1"])
async def test_server_that_becomes_bad(tmp_path: Path, what: str) -> None:
    """A client that is open checks each new connection, for WebSockets too."""
    (tmp_path / "bad").mkdir()
    async with (
        bad_server(tmp_path, "none") as (server, config),
        bad_server(tmp_path / "bad", what) as (bad, _),
        open_client(config) as client,
    ):
        server.context = bad.context
        server.received.clear()
        with pytest.raises(ConnectionFailed, match="cannot connect to https://"):
            async with open_websocket(client, "/socket"):
                pass
        assert server.received == b""


@pytest.mark.parametrize("kind", [tls_context, verifying_context])
@pytest.mark.parametrize("what", ["none", *BAD, *PROTOCOLS])
async def test_contexts(tmp_path: Path, what: str, kind: Callable[..., ssl.SSLContext]) -> None:
    """That of a client, and that for storage proxies and proxies over TLS."""
    async with bad_server(tmp_path, what) as (_, config):
        context = kind(config if kind is tls_context else config.ca_file)
        stream = await trio.open_tcp_stream(HOST, config.endpoint.port)
        async with stream:
            secure = trio.SSLStream(stream, context, server_hostname=HOST, https_compatible=True)
            if what == "none":
                await secure.do_handshake()
                return
            with pytest.raises(trio.BrokenResourceError):
                await secure.do_handshake()


def test_defaults() -> None:
    """Nothing that is set for the whole machine makes a client less careful."""
    for context in (tls_context(replace(KEYS, endpoint=SECURE)), verifying_context(None)):
        assert context is not None
        assert context.check_hostname and context.verify_mode == ssl.CERT_REQUIRED
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
