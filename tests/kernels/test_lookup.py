"""What old managers say of their kernels, and what they have no request for."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import trio
import trio.testing

from backendai_trio import (
    KernelSpec,
    LocalProtocolError,
    NotFound,
    ServerError,
    TrioKernel,
    open_client,
)
from backendai_trio.kernels import enqueue_kernel, list_apps, list_containers, task_log
from backendai_trio.wire.kernels import CreateReply
from backendai_trio.wire.versions import Hello

from ..transport.servers import read_head, reply, serving

PYTHON = KernelSpec(runtime="python")
BEFORE = datetime(2026, 11, 29, 10, tzinfo=UTC)


@asynccontextmanager
async def kernel_at(version: str, *, listed: bool = True) -> AsyncIterator[TrioKernel]:
    """A kernel of a manager that fails to describe it, and knows few requests.

    Args:
        version: that the manager announces.
        listed: whether the kernel is in its list.
    """
    row = {"name": "lab1", "lang": "python:3.6", "image": "python:3.6"}
    row |= {"status": "RUNNING", "created_at": BEFORE.isoformat()}
    page = {"items": [row] if listed else [], "total_count": int(listed)}
    problems = "https://api.backend.ai/probs/"

    async def handle(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            method, target = head.decode().split()[:2]
            if target == "/":
                answer: object = json.loads(Hello(version).encode())
                status = 200
            elif target.endswith("/lab1"):
                status, answer = 500, {"type": f"{problems}internal-server-error", "title": "no"}
            elif method == "POST" and "graphql" in target:
                while b"}}" not in head.partition(b"\r\n\r\n")[2] and b"}" not in head[-2:]:
                    head += await stream.receive_some(65536)
                keypair = {"access_key": "AKIA"}
                status, answer = 200, {"compute_session_list": page, "keypair": keypair}
            else:
                status, answer = 404, {"type": f"{problems}url-not-found", "title": "Unknown URL"}
            await stream.send_all(reply(status, json.dumps(answer).encode(), "application/json"))

    async with serving(handle) as config, open_client(config) as client:
        kernel = TrioKernel(client, CreateReply("lab1", "lab1", created=True))
        yield kernel
        kernel.release()


@pytest.mark.parametrize("version", ["v4.20190615", "v5.20191215"])
async def test_kernels_that_the_manager_fails_to_describe(version: str) -> None:
    """19.09 and 20.03 always do; their lists say what there is to know."""
    async with kernel_at(version) as kernel:
        earliest = datetime.now(UTC) - BEFORE
        info = await kernel.info()
        latest = datetime.now(UTC) - BEFORE
        assert (info.runtime, info.status) == ("python:3.6", "RUNNING")
        millisecond = timedelta(milliseconds=1)
        assert earliest // millisecond <= info.age_ms <= latest // millisecond
    async with kernel_at(version, listed=False) as kernel:
        with pytest.raises(NotFound, match="lab1"):
            await kernel.info()


async def test_failure_of_a_later_manager_is_told() -> None:
    async with kernel_at("v6.20200815") as kernel:
        with pytest.raises(ServerError):
            await kernel.info()


async def test_what_old_managers_cannot_is_told() -> None:
    for version, attempt, since in (
        ("v4.20190615", list_apps, "20.03"),
        ("v4.20190615", lambda kernel: kernel.rename("lab2"), "21.09.3"),
        ("v5.20191215", lambda kernel: kernel.rename("lab2"), "21.09.3"),
        ("v4.20190615", lambda kernel: task_log(kernel.client, str(uuid4())), "20.03"),
        ("v6.20200815", lambda kernel: task_log(kernel.client, "main"), "UUID"),
        ("v5.20191215", lambda kernel: list_containers(kernel.client, str(uuid4())), "20.09"),
        ("v6.20200815", lambda kernel: list_containers(kernel.client, "main"), "by its session id"),
        ("v6.20200815", lambda kernel: kernel.logs("sub1"), "24.03.7"),
        ("v5.20191215", lambda kernel: enqueue_kernel(kernel.client, PYTHON, token="a-b"), "20.09"),
    ):
        async with kernel_at(version) as kernel:
            with (
                trio.testing.assert_checkpoints(),
                pytest.raises(LocalProtocolError, match=re.escape(since)),
            ):
                await attempt(kernel)
