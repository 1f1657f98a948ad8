"""Downloads from servers that say of a file in which coding it is, rightly or not."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from backendai_trio import Client, DownloadError, TrioVFolder, open_client

from ..transport.servers import HELLO, read_head, reply, serving

CONTENT = b"content " * 50_000


@asynccontextmanager
async def client_of_storage(
    name: str, size: int, head: str, body: bytes
) -> AsyncIterator[tuple[Client, list[bytes]]]:
    """A client of a server with one file in its folders, and the heads of its requests for it.

    Args:
        name: of the file.
        size: of the file, as it is listed.
        head: header lines of the answer with its content.
        body: of that answer.
    """
    heads: list[bytes] = []
    files = {"items": [{"name": name, "type": "FILE", "size": size, "mode": "644"}]}
    address = ""

    async def handle(stream: trio.SocketStream) -> None:
        while request := await read_head(stream):
            target = request.split(b" ")[1]
            if target == b"/":
                await stream.send_all(HELLO)
            elif target.startswith(b"/folders/data/files"):
                listing = json.dumps(files).encode()
                await stream.send_all(reply(200, listing, "application/json"))
            elif target.endswith(b"/request-download"):
                ticket = {"token": "t", "url": f"{address}/download"}
                await stream.send_all(reply(200, json.dumps(ticket).encode(), "application/json"))
            else:
                heads.append(request)
                await stream.send_all(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + body)

    async with serving(handle) as config:
        address = config.endpoint.url
        async with open_client(config) as client:
            yield client, heads


def sized(body: bytes) -> str:
    return f"Content-Length: {len(body)}"


def chunked(body: bytes) -> bytes:
    half = len(body) // 2
    parts = (body[:half], body[half:], b"")
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize(("name", "coding"), [("a.tar.gz", "gzip"), ("a.odd", "odd")])
async def test_the_coding_that_a_file_is_stored_in(tmp_path: Path, name: str, coding: str) -> None:
    """It is sent as it is."""
    body = gzip.compress(CONTENT)
    head = f"Content-Encoding: {coding}\r\n{sized(body)}"
    async with client_of_storage(name, len(body), head, body) as (client, heads):
        await TrioVFolder(client, "data").download([name], tmp_path)
    assert (tmp_path / name).read_bytes() == body
    assert b"Accept-Encoding: identity\r\n" in heads[0]


@pytest.mark.parametrize("name", ["a.txt", "a.tar.gz"])
async def test_what_was_compressed_on_the_way(tmp_path: Path, name: str) -> None:
    body = chunked(gzip.compress(CONTENT))
    head = "Content-Encoding: gzip\r\nTransfer-Encoding: chunked"
    async with client_of_storage(name, len(CONTENT), head, body) as (client, _):
        await TrioVFolder(client, "data").download([name], tmp_path)
    assert (tmp_path / name).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("br", b"whatever"),
        ("gzip", CONTENT),
        ("gzip", bz2.compress(CONTENT)),
        ("gzip", gzip.compress(CONTENT)[:-1]),
    ],
)
async def test_what_is_not_understood_is_not_saved(
    tmp_path: Path, coding: str, body: bytes
) -> None:
    head = f"Content-Encoding: {coding}\r\n{sized(body)}"
    async with client_of_storage("a.txt", 7, head, body) as (client, _):
        with pytest.raises(DownloadError, match=r"a\.txt"):
            await TrioVFolder(client, "data").download(["a.txt"], tmp_path)
    assert names_in(tmp_path) == []
