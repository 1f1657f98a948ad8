"""WebSockets over TLS."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme

from backendai_trio import ConnectionFailed, NotFound, open_client
from backendai_trio.gateway import Gateway
from backendai_trio.transport.websocket_connect import open_websocket

from .servers import HELLO
from .websocket_clients import Handler, behind_tls, say_hello, secure_client


async def test_websockets_have_the_clients_tls_context(
    secure: Gateway, authority: trustme.CA, tmp_path: Path
) -> None:
    """To make one for each takes longer than a run of code."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    config = replace(secure.config, ca_file=str(tmp_path / "ca.pem"))
    async with open_client(config) as client:
        assert client.tls is not None
        before = client.tls.context.session_stats()["connect"]
        assert client.tls.context.session_stats()["hits"] == 0
        for _ in range(3):
            with pytest.raises(NotFound):
                async with open_websocket(client, client.era.stream_path("nobody", "pty")):
                    pass
        assert client.tls.context.session_stats()["connect"] - before == 3
        assert client.tls.context.session_stats()["hits"] == 3  # resumed that of the hello


@pytest.mark.parametrize("change", ["no tickets", "restarted", "TLS 1.2"])
async def test_sessions_that_cannot_be_resumed(
    authority: trustme.CA, tmp_path: Path, change: str
) -> None:
    """The handshake is a whole one then. Certificates are checked in any."""

    def server(*, tickets: int = 2) -> Handler:
        return behind_tls(authority.issue_cert("127.0.0.1"), say_hello, tickets=tickets)

    match change:
        case "no tickets":
            servers = [server(tickets=0), server(tickets=0)]
        case "restarted":
            servers = [server(), server()]
        case _:
            old = behind_tls(
                authority.issue_cert("127.0.0.1"), say_hello, version=ssl.TLSVersion.TLSv1_2
            )
            servers = [old, old]
    async with secure_client(authority, tmp_path, servers) as client:
        assert client.tls is not None
        with pytest.raises(ConnectionFailed):
            async with open_websocket(client, "/socket"):
                pass
        assert client.tls.context.session_stats()["connect_good"] == 2
        assert client.tls.context.session_stats()["hits"] == (change == "TLS 1.2")


async def test_server_that_refuses_sessions(authority: trustme.CA, tmp_path: Path) -> None:
    """It is asked for a whole handshake, and for nothing else from then on."""
    greeting = behind_tls(authority.issue_cert("127.0.0.1"), say_hello)

    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some(65536)

    async with secure_client(authority, tmp_path, [greeting, refuse, greeting, greeting]) as client:
        assert client.tls is not None
        for _ in range(2):
            with pytest.raises(ConnectionFailed, match="/socket"):  # no WebSocket is spoken there
                async with open_websocket(client, "/socket"):
                    pass
        assert client.tls.context.session_stats()["connect"] == 4
        assert client.tls.context.session_stats()["connect_good"] == 3


async def test_certificates_are_looked_at_again_after_a_day(
    authority: trustme.CA, tmp_path: Path
) -> None:
    greeting = behind_tls(authority.issue_cert("127.0.0.1"), say_hello)
    async with secure_client(authority, tmp_path, [greeting] * 3) as client:
        assert client.tls is not None
        sessions = client.tls._sessions[client.config.endpoint.host, client.config.endpoint.port]
        assert sessions.next() is not None
        sessions.since -= 86_401
        assert sessions.next() is None


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        ("other host", "its certificate is for another name .*not valid for '127.0.0.1'"),
        (
            "other authority",
            r"its certificate is not trusted .*; check that .* \(BACKEND_CA_FILE\) holds the CA",
        ),
        ("no tls", r"TLS failed .*; if its port is one of plain HTTP, write http://"),
    ],
)
async def test_tls_failures(authority: trustme.CA, tmp_path: Path, failure: str, text: str) -> None:
    """They are told as what they are, as for other requests."""
    good = behind_tls(authority.issue_cert("127.0.0.1"), say_hello)
    match failure:
        case "other host":
            bad = behind_tls(authority.issue_cert("10.1.2.3"), say_hello)
        case "other authority":
            bad = behind_tls(trustme.CA().issue_cert("127.0.0.1"), say_hello)
        case _:

            async def bad(stream: trio.SocketStream) -> None:
                await stream.receive_some(1)
                await stream.send_all(HELLO)

    async with secure_client(authority, tmp_path, [good, bad, bad]) as client:
        with pytest.raises(ConnectionFailed, match=f"cannot connect to https://.*: {text}"):
            async with open_websocket(client, "/socket"):
                pass
