"""What the gateway remembers: key pairs and sessions in its database."""

from __future__ import annotations

import stat
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from backendai_trio import (
    GatewayError,
    GatewayOptions,
    KernelSpec,
    attach_kernel,
    open_client,
    open_gateway,
)
from backendai_trio.gateway.storage.database import EndedSession, KeyPair, MemoryStore, SqliteStore
from backendai_trio.wire.versions import SEED

from ..api.raw_client import Raw


@pytest.fixture
async def remembering(tmp_path: Path) -> AsyncIterator[GatewayOptions]:
    """Options of a gateway that remembers."""
    yield GatewayOptions(data=tmp_path / "some" / "where")


async def test_key_pair_and_history_survive(remembering: GatewayOptions) -> None:
    async with open_gateway(remembering) as first, open_client(first.config) as client:
        kernel = await attach_kernel(client, KernelSpec(runtime="python"), token="ended")
        await kernel.destroy()
    async with open_gateway(remembering) as second:
        assert second.config.access_key == first.config.access_key
        assert second.config.secret_key == first.config.secret_key
        raw = Raw(second, SEED.version)
        query = '{ compute_sessions(status: "TERMINATED") { sess_id status terminated_at } }'
        answer = await raw("POST", "/v2/admin/graphql", {"query": query})
        (row,) = answer.json()["compute_sessions"]
        assert (row["sess_id"], row["status"]) == ("ended", "TERMINATED")
        assert row["terminated_at"]


def test_files_of_the_store_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    store = SqliteStore(folder)
    store.keypair()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert len(list(folder.iterdir())) > 1  # the write-ahead log as well
    store.close()
    store.close()


def test_key_pairs_of_the_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    made = store.keypair()
    assert store.keypair() == made
    assert store.secret_key_of(made.access_key) == made.secret_key
    assert store.secret_key_of("AKIAOTHER00000000000") is None
    assert made.secret_key not in repr(made)
    other = store.keypair("AKIAOTHER00000000000")
    assert other.secret_key != made.secret_key
    assert store.secret_key_of(made.access_key) == made.secret_key
    changed = store.keypair("AKIAOTHER00000000000", "s" * 40)
    assert changed == KeyPair("AKIAOTHER00000000000", "s" * 40)
    store.close()
    store = SqliteStore(tmp_path)
    assert store.keypair() == changed
    assert store.keypair(made.access_key) == made
    store.close()


def test_ended_sessions_of_the_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    sessions = [
        EndedSession(f"id{number}", f"token{number}", owner, "python", "2026", "2027", number)
        for number, owner in enumerate(["me", "you", "me"])
    ]
    for item in sessions:
        store.add_ended(item)
    store.close()
    store = SqliteStore(tmp_path)
    assert store.ended("me") == [sessions[2], sessions[0]]
    assert store.ended("you") == [sessions[1]]
    assert store.ended("nobody") == []
    for number in range(1100):
        store.add_ended(EndedSession(f"x{number}", "t", "many", "python", "2026", "2027", 0))
    assert len(store.ended("many")) == 1000
    store.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_logs_of_batch_sessions(tmp_path: Path, kind: str) -> None:
    """They are kept of the newest, and nothing but a request for a log reads one."""
    store = MemoryStore(KeyPair("me", "")) if kind == "memory" else SqliteStore(tmp_path)
    job = EndedSession("", "job", "me", "python", "2026", "2027", 0, kind="BATCH")
    for number in range(60):
        item = replace(job, session_id=f"id{number}", token=f"job{number % 55}")
        store.add_ended(item, f"{number}" + "x" * 100_000)
    tracemalloc.start()
    try:
        assert len(store.ended("me")) == 60
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    # By token, the last one counts.
    assert [(store.ended_log("me", name) or "")[:2] for name in ("job3", "id3", "id58", "id9")] == [
        "58",
        "",
        "58",
        "",
    ]
    assert store.ended_log("you", "id58") is None
    store.add_ended(replace(job, session_id="x", token="never", status="CANCELLED"))
    store.add_ended(replace(job, session_id="y", token="shell", kind="INTERACTIVE"))
    assert [store.ended_log("me", name) for name in ("never", "shell", "nonesuch")] == [None] * 3
    store.close()


@pytest.mark.parametrize("fault", ["file-in-the-way", "no-database"])
def test_store_that_cannot_be_opened(tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "data"
    if fault == "file-in-the-way":
        folder.write_text("x")
    else:
        folder.mkdir()
        (folder / "gateway.sqlite3").write_text("this is no database" * 100)
    with pytest.raises(GatewayError, match=r"gateway\.sqlite3"):
        SqliteStore(folder)
