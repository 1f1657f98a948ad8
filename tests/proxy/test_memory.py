"""Large bodies pass through without being held."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from .. import plain_http
from ..cli.commands import Commands
from .conftest import SEED, SESSION
from .upstream import ACCESS_KEY, MEBIBYTE, SECRET_KEY, open_upstream

MEBIBYTES = 100
ROOM_KIB = 24 * 1024


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def peak_kib(pid: int) -> int:
    """The most memory that a process has had so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


@pytest.mark.parametrize("version", [SEED, SESSION])
async def test_100_mebibytes_up(commands: Commands, version: str) -> None:
    """Where bodies are signed, a large one waits in a file."""
    digest = hashlib.sha256(MEBIBYTE * MEBIBYTES).hexdigest()

    async def body() -> AsyncIterator[bytes]:  # noqa: ASYNC124
        for _ in range(MEBIBYTES):
            yield MEBIBYTE

    async with proxied(commands, version) as url:
        headers = [("Content-Length", str(MEBIBYTES * len(MEBIBYTE)))]
        answer = await plain_http.request("POST", f"{url}/x", headers=headers, content=body())
    assert json.loads(answer.content)["sha256"] == digest


async def test_100_mebibytes_down(commands: Commands) -> None:
    size = 0
    async with (
        proxied(commands, SESSION) as url,
        plain_http.stream("GET", f"{url}/bytes?mebibytes={MEBIBYTES}") as down,
    ):
        async for chunk in down.chunks:
            size += len(chunk)
    assert size == MEBIBYTES * len(MEBIBYTE)


@asynccontextmanager
async def proxied(commands: Commands, version: str) -> AsyncIterator[str]:
    """`backend.ai proxy` in a process of its own, whose memory may not grow during the block."""
    async with open_upstream(version) as (_, config):
        env = {
            "BACKEND_ENDPOINT": config.endpoint.url,
            "BACKEND_ACCESS_KEY": ACCESS_KEY,
            "BACKEND_SECRET_KEY": SECRET_KEY,
        }
        with commands.start("proxy", "-p", "0", env=env) as proxy:
            await trio.to_thread.run_sync(lambda: proxy.expect("requests to ", on="stderr"))
            url = proxy.expect(" for ", on="stderr")
            await plain_http.request("POST", f"{url}/x", content=MEBIBYTE)
            before = peak_kib(proxy.pid)
            yield url
            assert peak_kib(proxy.pid) - before < ROOM_KIB
