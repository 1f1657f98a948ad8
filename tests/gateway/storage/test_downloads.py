"""Answers that carry a file, without a network, and tickets for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from starlette.types import Message

from backendai_trio.gateway.refusals import Refused
from backendai_trio.gateway.storage.downloads import DownloadTickets, file_response


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


async def test_tickets_take_limited_memory() -> None:  # noqa: ASYNC124 (they look at the clock)
    """The oldest ones become invalid; of short ones there may be many."""
    tickets = DownloadTickets(max_bytes=10_000_000)
    files = [f"file{number}" for number in range(1000)]
    tokens = [tickets.issue("me", "id", "name", archive=True, files=files) for _ in range(200)]

    def is_valid(token: str) -> bool:
        try:
            return tickets.find(token).files == tuple(files)
        except Refused:
            return False

    valid = [is_valid(token) for token in tokens]
    assert valid == sorted(valid)
    assert 50 < sum(valid) < 100
    with pytest.raises(Refused) as caught:
        tickets.issue("me", "id", "x" * 2_000_000, archive=True, files=["a"])
    assert caught.value.problem.status == 400
    assert is_valid(tokens[-1])
    short = [tickets.issue("me", "id", "name", archive=False) for _ in range(10_000)]
    assert tickets.find(short[0]).path == "name"
