"""Errors that a server answers with, as the client raises them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    ApiError,
    AuthError,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    ServerError,
    TrioKernel,
    open_client,
)
from backendai_trio.wire.files import ARCHIVES
from backendai_trio.wire.kernels import CreateReply

from .servers import HELLO, INFO, client_of, read_head, reply, serving


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "invalid-api-params", InvalidRequest),
        (400, "quota-exceeded", QuotaExceeded),
        (400, "invalid-auth-params", AuthError),
        (401, "auth-failed", AuthError),
        (403, "generic-forbidden", AuthError),
        (404, "session-not-found", NotFound),
        (405, "method-not-allowed", InvalidRequest),
        (409, "vfolder-already-exists", InvalidRequest),
        (410, "vfolder-gone", NotFound),
        (412, "quota-exceeded", QuotaExceeded),
        (429, "too-many-requests", QuotaExceeded),
        (500, "internal-server-error", ServerError),
        (501, "not-implemented", ServerError),
        (503, "instance-not-available", ServerError),
    ],
)
async def test_problems_are_typed_errors(status: int, kind: str, error: type[ApiError]) -> None:
    problem = {
        "type": f"https://api.backend.ai/probs/{kind}",
        "title": "The title.",
        "msg": "The detail.",
        "data": {"matches": [1]},
    }
    body = json.dumps(problem).encode()
    async with client_of(reply(status, body, "application/problem+json")) as client:
        with pytest.raises(ApiError) as caught:
            await client.call(INFO)
    assert type(caught.value) is error
    assert (caught.value.status, caught.value.kind) == (status, kind)
    assert (caught.value.title, caught.value.detail) == ("The title.", "The detail.")
    assert caught.value.data == {"matches": [1]}
    assert caught.value.request == "GET /auth"
    assert "GET /auth" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"Bad Gateway", "text/plain", "Bad Gateway"),
        (b"<html>\n<h1>502 &amp; <b>x</b></h1>\n</html>", "text/html", "with a page: 502 & x ["),
        (b"<!DOCTYPE html>\n<title>Bad\n Gateway</title>", "text/html", "with a page: Bad Gateway"),
        (b" <!-- x --><body><p>Sorry</p>", "text/html", "502, with a page: Sorry"),
        (b"", "text/plain", "HTTP status 502 without a body"),
        (b"\xff\xfe", "text/plain", "\ufffd\ufffd"),
        (b"[1, 2]", "application/json", "[1, 2]"),
        (b'{"type": 7}', "application/problem+json", '{"type": 7}'),
        (b"{}", "application/json", "the server gave no reason"),
    ],
)
async def test_errors_that_are_no_problems(body: bytes, content_type: str, text: str) -> None:
    async with client_of(reply(502, body, content_type)) as client:
        with pytest.raises(ServerError) as caught:
            await client.call(INFO)
    assert text in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    where = "https://elsewhere.example/auth"
    async with client_of(reply(status, b"", "text/plain", f"Location: {where}")) as client:
        with pytest.raises(ApiError) as caught:
            await client.call(INFO)
    assert caught.value.status == status
    assert where in str(caught.value)
    assert "BACKEND_ENDPOINT" in str(caught.value)


async def test_upload_that_is_refused_while_it_is_sent(tmp_path: Path) -> None:
    """The server's reason is told, not that it takes no more."""
    (tmp_path / "large").write_bytes(bytes(8_000_000))
    refusal = reply(
        413, b'{"type": "quota-exceeded", "title": "The disk is full"}', "application/problem+json"
    )

    async def handle(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            if head.startswith(b"PUT"):
                await stream.receive_some(100_000)
                await stream.send_all(refusal)
                return  # and hangs up
            await stream.send_all(HELLO)

    async with serving(handle) as config:
        for _ in range(5):
            async with open_client(config) as client:
                client.hello = replace(client.hello, features=frozenset({ARCHIVES}))
                kernel = TrioKernel(client, CreateReply("abc", "abc", created=True))
                with pytest.raises(QuotaExceeded, match="The disk is full"):
                    await kernel.upload([tmp_path / "large"], base=tmp_path)
