"""Requests that are written by hand, with a right signature, for gateways with other limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import trio

from backendai_trio.gateway import Gateway, GatewayLimits
from backendai_trio.wire.signing import Signed, sign

from .raw_client import Raw

# One for each test; all else is as usual.
_LIMITS = GatewayLimits()


def limited(**changes: object) -> pytest.MarkDecorator:
    """Run a test with a gateway that has other limits."""
    return pytest.mark.parametrize("limits", [replace(_LIMITS, **changes)])  # type: ignore[arg-type]


@asynccontextmanager
async def connected(gateway: Gateway) -> AsyncIterator[trio.SocketStream]:
    async with await trio.open_tcp_stream("127.0.0.1", gateway.config.endpoint.port) as stream:
        yield stream


async def read_all(stream: trio.SocketStream) -> bytes:
    """What the server sends until it closes the connection."""
    data = b""
    try:
        async for chunk in stream:
            data += chunk
    except trio.BrokenResourceError:
        pass
    return data


async def check_served(raw: Raw) -> None:
    assert (await raw("POST", "/auth", {"echo": "x"})).status == 200


def head(raw: Raw, path: str = "/auth", *lines: str, version: str = "", body: bytes = b"") -> bytes:
    """The head of a signed POST of JSON, without its end."""
    kind = "application/json"
    fields, signature = _signed(raw, "POST", path, kind, version or raw.version, body)
    return _encoded([*fields, f"Content-Type: {kind}", signature, *lines])


def handshake(raw: Raw, *lines: str, path: str = "pty", signed: bool = True) -> bytes:
    """The handshake of a WebSocket of the kernel ``lab1``."""
    path = f"/stream/session/lab1/{path}"
    fields, signature = _signed(raw, "GET", path, "application/octet-stream", raw.version, b"")
    upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ]
    return _encoded([*fields, *([signature] if signed else []), *upgrade, *lines]) + b"\r\n"


def _signed(
    raw: Raw, method: str, path: str, kind: str, version: str, body: bytes
) -> tuple[list[str], str]:
    """The first lines of a head, and the one that signs it."""
    date, host = datetime.now(UTC).isoformat(), raw.gateway.config.endpoint.host_header
    signature = sign(
        Signed(method, path, date, host, kind, version, "x-backendai-version", body),
        access_key=raw.gateway.config.access_key,
        secret_key=raw.gateway.config.secret_key,
    )
    fields = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}",
        f"Date: {date}",
        f"X-BackendAI-Version: {version}",
    ]
    return fields, f"Authorization: {signature}"


def _encoded(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def frame(data: bytes, first: int = 0x81) -> bytes:
    """A text message, masked with zeros."""
    size = len(data)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + (size % 2**16).to_bytes(2, "big")
    if size >= 2**16:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes([first]) + length + bytes(4) + data
