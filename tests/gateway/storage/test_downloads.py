"""Answers that carry a file, without a network: what becomes of the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from starlette.types import Message

from backendai_trio.gateway.storage.downloads import file_response


@pytest.mark.parametrize("pieces", [0, 1, 3])
async def test_file_is_closed_whenever_its_client_leaves(tmp_path: Path, pieces: int) -> None:
    """Before the first piece, after some, or once it has all (the head and an end come as well)."""
    path = tmp_path / "file"
    path.write_bytes(bytes(3 * 1024 * 1024))
    left = trio.Event()
    sent: list[Message] = []

    async def receive() -> Message:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == 1 + pieces:
            left.set()
            await trio.sleep(0 if pieces == 3 else float("inf"))

    file = path.open("rb", 0)
    answer = file_response(file, path.stat(), "file")
    await answer({"type": "http", "headers": []}, receive, send)
    assert file.closed
    assert [len(message["body"]) for message in sent[1:]][:pieces] == [1024 * 1024] * pieces
