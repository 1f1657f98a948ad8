"""Answers that are compressed, by a server or by something on the way."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from backendai_trio import Client, NotFound, RemoteProtocolError, open_client
from backendai_trio.transport.limits import Limits
from backendai_trio.wire.http import Request

from .servers import HELLO, client_of, read_head, reply, serving

ASK = Request("GET", "/anything")
PROBLEM = b'{"type": "https://api.backend.ai/probs/session-not-found", "title": "no such"}'
CODERS = [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]


def coded(coding: str, body: bytes, status: int = 200) -> bytes:
    kind = "application/json" if status < 400 else "application/problem+json"
    return reply(status, body, kind, f"Content-Encoding: {coding}")


@pytest.mark.parametrize(("coding", "encode"), CODERS)
async def test_bodies_are_decoded(coding: str, encode: type[bytes]) -> None:
    """However they are read: whole, piece by piece, or by a call that can be taken up again."""
    body = b'{"a": 1}' * 100_000
    encoded = encode(body)  # once: gzip puts the time into it
    answer = coded(coding, encoded)
    async with client_of(answer, answer, answer, answer) as client:
        assert (await client.call(ASK)).body == body
        async with client.request(ASK) as stream:
            assert b"".join([piece async for piece in stream]) == body
        async with client.request(ASK, decode=False) as stream:
            assert b"".join([piece async for piece in stream]) == encoded
        assert (await client.start_call(ASK).wait()).body == body


async def test_errors_are_decoded() -> None:
    answer = coded("gzip", gzip.compress(PROBLEM), 404)
    async with client_of(answer, answer, answer) as client:
        for decode in (True, False):
            with pytest.raises(NotFound, match="no such"):
                async with client.request(ASK, decode=decode):
                    pass
        with pytest.raises(NotFound, match="no such"):
            await client.start_call(ASK).wait()


@asynccontextmanager
async def client_of_repeated(answer: bytes) -> AsyncIterator[Client]:
    """A client of a server that says hello, and then the same on each connection."""
    said = [HELLO]

    async def handle(stream) -> None:  # type: ignore[no-untyped-def]
        while await read_head(stream):
            await stream.send_all(said.pop() if said else answer)

    limits = Limits(max_body_bytes=1_000_000)
    async with serving(handle) as config, open_client(config, limits=limits) as client:
        yield client


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (coded("br", b"whatever"), "'br'"),
        (coded("gzip", b"whatever"), "not gzip"),
        (coded("gzip", gzip.compress(b"x" * 500)[:-1]), "cut short"),
        (coded("gzip", gzip.compress(bytes(1_000_001))), "exceeds 1,000,000 bytes"),
    ],
    ids=["unknown", "malformed", "cut-short", "too-long"],
)
async def test_what_cannot_be_decoded_is_refused(answer: bytes, why: str) -> None:
    """Each time with a connection to spare: one that a failure held would be missing at the end."""
    async with client_of_repeated(answer) as client:
        for _ in range(client.limits.max_connections + 1):
            with pytest.raises(RemoteProtocolError, match=f"GET /anything.*{why}"):
                await client.call(ASK)
        with pytest.raises(RemoteProtocolError, match=why):
            await client.start_call(ASK).wait()


async def test_a_body_that_grows_is_given_in_pieces() -> None:
    answer = coded("gzip", gzip.compress(bytes(50_000_000)))
    async with client_of(answer) as client, client.request(ASK) as stream:
        sizes = [len(piece) async for piece in stream]
    assert sum(sizes) == 50_000_000 and max(sizes) <= 256 * 1024
