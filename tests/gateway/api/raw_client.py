"""Requests and replies byte by byte, as foreign clients send and see them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import trio

from backendai_trio.gateway import Gateway
from backendai_trio.wire.signing import Signed, sign

PROBS = "https://api.backend.ai/probs/"
BOUNDARY = "XXboundaryXX"


@dataclass
class Answer:
    """A reply as it stood on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = self.json()["result"]
        return result

    @property
    def kind(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        text: str = self.json()["type"]
        assert text.startswith(PROBS)
        return text.removeprefix(PROBS)


@dataclass
class Raw:
    """Sends what it is told, signed as client 1.1.1 would."""

    gateway: Gateway
    version: str
    scheme: str = "BackendAI"
    prefix: str = "X-BackendAI"

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = b"",
        *,
        content_type: str | None = None,
        version: str | None = None,
        stop_after: int | None = None,
    ) -> Answer:
        """Send a request on a connection of its own; every reply must be framed by its length."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            content_type = content_type or "application/json"
        content_type = content_type or "application/octet-stream"
        version = version or self.version
        endpoint = self.gateway.config.endpoint
        date = datetime.now(UTC).isoformat()
        header = f"{self.prefix}-Version"
        authorization = sign(
            Signed(
                method,
                path,
                date,
                endpoint.host_header,
                content_type,
                version,
                header.lower(),
                body,
            ),
            access_key=self.gateway.config.access_key,
            secret_key=self.gateway.config.secret_key,
        )
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {endpoint.host_header}\r\nDate: {date}\r\n"
            f"{header}: {version}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"Authorization: {self.scheme}{authorization.removeprefix('BackendAI')}\r\n"
            "Connection: close\r\n\r\n"
        )
        return await exchange(self.gateway, head.encode() + body[:stop_after])


async def exchange(gateway: Gateway, request: bytes) -> Answer:
    async with await trio.open_tcp_stream("127.0.0.1", gateway.config.endpoint.port) as stream:
        await stream.send_all(request)
        data = b""
        async for chunk in stream:
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    # Client 1.1.1 requires both in every reply (docs/protocol.md, section 12, item 2).
    assert "content-type" in headers
    assert int(headers["content-length"]) == len(body)
    assert "transfer-encoding" not in headers
    return Answer(int(first.split()[1]), headers, body)


async def create(raw: Raw, lang: str = "python3", token: str = "mysession01") -> Answer:
    config = {"mounts": None, "envs": {"GREETING": "hi"}}
    body = {"lang": lang, "clientSessionToken": token, "config": config}
    return await raw("POST", "/v2/kernel/create", body)


def form(*files: tuple[str, bytes], disposition: str = "form-data", end: bool = True) -> bytes:
    """A form with these file names put in as they are."""
    body = b""
    for name, data in files:
        body += (
            f"--{BOUNDARY}\r\n"
            f'Content-Disposition: {disposition}; name="src"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode("utf-8", "surrogateescape")
        body += data + b"\r\n"
    return body + (f"--{BOUNDARY}--\r\n".encode() if end else b"")


async def upload(raw: Raw, kernel: str, *files: tuple[str, bytes]) -> Answer:
    return await upload_form(raw, kernel, form(*files))


async def upload_form(raw: Raw, kernel: str, body: bytes) -> Answer:
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    return await raw("POST", f"{kernel}/upload", body, content_type=content_type)
