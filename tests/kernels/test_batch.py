"""Batch sessions: one command, followed from the queue to its result."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from backendai_trio import (
    Client,
    ExecutionError,
    GatewayOptions,
    KernelSpec,
    LocalProtocolError,
    NotFound,
    ServerError,
    TrioKernel,
    attach_kernel,
    find_kernel,
    open_client,
    open_gateway,
    query,
)
from backendai_trio.files import UploadStream
from backendai_trio.gateway import Gateway
from backendai_trio.kernels import (
    BatchJob,
    BatchResult,
    KernelState,
    enqueue_kernel,
    list_containers,
    run_batch,
    task_log,
)
from backendai_trio.wire.versions import SEED, SESSION_5, TRANSITION

PYTHON = KernelSpec(runtime="python")
RELEASES = ["", "20.09", "23.09", "25.12", "26.9"]


@asynccontextmanager
async def serving(
    release: str = "", *, max_sessions: int = 10
) -> AsyncIterator[tuple[Gateway, Client]]:
    options = GatewayOptions(release=release, max_sessions=max_sessions)
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        yield gateway, client


async def row_of(client: Client, kernel_id: str) -> dict[str, object]:
    text = "query($id: UUID) { compute_session(id: $id) { type status status_info result } }"
    found: dict[str, object] = (await query(client, text, {"id": kernel_id}))["compute_session"]
    return found


@pytest.mark.parametrize("release", RELEASES)
async def test_command_that_succeeds(release: str) -> None:
    async with serving(release) as (gateway, client):
        job = BatchJob("echo one; echo two >&2; pwd | grep -c /")
        result = await run_batch(client, PYTHON, job)
        assert result.succeeded
        assert result.exit_code == 0
        assert sorted(result.log.splitlines()) == ["1", "one", "two"]
        assert gateway.tokens() == []
        row = await row_of(client, result.kernel_id)
        assert row["type"] == "BATCH" and row["result"] == "SUCCESS"
        assert (row["status"], row["status_info"]) == ("TERMINATED", "task-finished")


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    ("command", "code"),
    [("echo said; exit 7", 7), ("echo said; kill -9 $$", 137), ("echo said; nonesuch-9", 127)],
)
async def test_command_that_fails_is_a_result(release: str, command: str, code: int) -> None:
    async with serving(release) as (gateway, client):
        result = await run_batch(client, PYTHON, BatchJob(command))
        assert not result.succeeded
        # On a manager the guard's own shell is killed with it, and only the event tells the code.
        assert result.exit_code == code
        assert "said\n" in result.log
        assert result.reason == "task-failed"
        assert gateway.tokens() == []


@pytest.mark.parametrize("release", ["", "23.09"])
async def test_files_are_there_when_the_command_begins(release: str, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    for number in range(25):  # more than a form holds
        (tmp_path / "lib" / f"n{number}.txt").write_text(f"{number}\n")
    (tmp_path / "main.py").write_text(
        "import glob; print(len(glob.glob('lib/*')), glob.glob('.j*'))"
    )
    async with serving(release) as (_gateway, client):
        files = [tmp_path / "lib", tmp_path / "main.py"]
        result = await run_batch(client, PYTHON, BatchJob("python main.py"), files=files)
        assert (result.exit_code, result.log) == (0, "25 []\n")


async def test_files_that_a_manager_cannot_take_are_refused(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(2_000_000))
    (tmp_path / "empty").mkdir()
    async with serving("23.09") as (gateway, client):
        for name, why in (("big", "1,048,575 bytes at most"), ("empty", "empty folders")):
            with pytest.raises(LocalProtocolError, match=f"{why}.*mount that"):
                await run_batch(client, PYTHON, BatchJob("true"), files=[tmp_path / name])
        assert gateway.tokens() == []


@pytest.mark.parametrize("release", ["", "23.09"])
async def test_streams_are_refused(release: str) -> None:
    async with serving(release) as (gateway, client):
        files: list[Any] = [UploadStream(one_byte(), "lib/data")]
        with pytest.raises(LocalProtocolError, match=r"lib/data: .* no streams"):
            await run_batch(client, PYTHON, BatchJob("true"), files=files)
        assert gateway.tokens() == []


@pytest.mark.parametrize("release", ["", "23.09"])
async def test_output_arrives_while_the_command_runs(release: str) -> None:
    send, receive = trio.open_memory_channel[str](0)
    async with serving(release) as (gateway, client), trio.open_nursery() as nursery:
        results: list[BatchResult] = []

        async def run() -> None:
            # It ends when the test has seen its output.
            job = BatchJob("echo begun; until [ -e go ]; do sleep 0.05; done; echo done")
            results.append(await run_batch(client, PYTHON, job, token="job1", output=send))
            await send.aclose()

        nursery.start_soon(run)
        assert await receive.receive() == "begun\n"
        kernel = await find_kernel(client, "job1")
        await kernel.upload_stream("go", one_byte(), size=1)
        assert "".join([text async for text in receive]) == "done\n"
        assert results[0].log == "begun\ndone\n"
        assert gateway.tokens() == []


async def one_byte() -> AsyncIterator[bytes]:  # noqa: ASYNC124
    yield b"x"


async def test_it_waits_in_the_queue_and_is_started_in_a_nursery() -> None:
    send, states = trio.open_memory_channel[KernelState](100)
    async with serving(max_sessions=1) as (gateway, client), trio.open_nursery() as nursery:
        first = await attach_kernel(client, PYTHON, token="first")

        async def start(task_status: trio.TaskStatus[TrioKernel]) -> None:
            await run_batch(
                client, PYTHON, BatchJob("true"), progress=send, task_status=task_status
            )
            await send.aclose()

        kernel: TrioKernel = await nursery.start(start)
        assert gateway.waiting_tokens() == [kernel.token]
        await first.destroy()
        seen = [state.status async for state in states]
        assert seen[0] == "PENDING" and seen[-1] == "TERMINATED"


@pytest.mark.parametrize("release", ["", "23.09", "26.9"])
@pytest.mark.parametrize("waits", [True, False])
async def test_cancelled_it_leaves_nothing(release: str, waits: bool) -> None:
    async with serving(release, max_sessions=1) as (gateway, client):
        first = [await attach_kernel(client, PYTHON, token="first")] if waits else []
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                send, receive = trio.open_memory_channel[str](0)
                progress, states = trio.open_memory_channel[KernelState](0)

                async def run() -> None:
                    job = BatchJob("echo up; sleep 60")
                    await run_batch(client, PYTHON, job, output=send, progress=progress)

                async def watch() -> None:
                    async for state in states:
                        if waits and state.status == "PENDING":
                            scope.cancel()

                nursery.start_soon(run)
                nursery.start_soon(watch)
                if not waits:
                    await receive.receive()
                    scope.cancel()
        assert scope.cancelled_caught
        assert gateway.tokens() == [kernel.token for kernel in first]
        assert gateway.waiting_tokens() == []


async def test_time_limit() -> None:
    async with serving() as (_gateway, client):
        job = BatchJob("sleep 60; echo never", timeout_seconds=0.5)
        result = await run_batch(client, PYTHON, job)
        assert (result.succeeded, result.exit_code) == (False, -2)
        assert (result.reason, result.log) == ("task-timeout", "") and result.timed_out


async def test_session_that_is_destroyed_has_no_result() -> None:
    async with serving() as (gateway, client), trio.open_nursery() as nursery:
        send, receive = trio.open_memory_channel[str](0)

        async def run() -> None:
            with pytest.raises(ExecutionError, match="ended before its command: user-requested"):
                await run_batch(
                    client, PYTHON, BatchJob("echo up; sleep 60"), token="job1", output=send
                )

        nursery.start_soon(run)
        await receive.receive()
        await (await find_kernel(client, "job1")).destroy()
        assert gateway.tokens() == []


async def test_session_that_cannot_be_started() -> None:
    for release in ("", "23.09"):
        async with serving(release) as (gateway, client):
            gateway.faults.start_failure = "no space left"
            with pytest.raises(ServerError, match="no space left"):
                await run_batch(client, PYTHON, BatchJob("true"))


async def test_log_of_an_ended_session_and_of_its_task() -> None:
    async with serving() as (_gateway, client):
        result = await run_batch(client, PYTHON, BatchJob("echo kept"), token="job1")
        assert await task_log(client, result.kernel_id) == "kept\n"
        # A token may be that of several, one after the other: the last one counts.
        await run_batch(client, PYTHON, BatchJob("echo newer"), token="job1")
        kernel = await enqueue_kernel(client, PYTHON, token="other")
        assert (await list_containers(client, kernel.kernel_id))[0].host_name == "main1"
        assert await kernel.logs("main1") == ""
        with pytest.raises(NotFound, match="it has main1"):
            await kernel.logs("sub1")
        with pytest.raises(LocalProtocolError, match="must be a UUID"):
            await task_log(client, "job1")
        await kernel.destroy()


async def test_logs_of_containers_are_refused_by_older_managers() -> None:
    async with serving("23.09") as (_gateway, client):
        kernel = await attach_kernel(client, PYTHON, token="abcd")
        with pytest.raises(LocalProtocolError, match=r"from 24\.03\.7 on"):
            await kernel.logs("main1")
        with pytest.raises(LocalProtocolError, match=r"from 24\.12 on"):
            await run_batch(client, PYTHON, BatchJob("true", timeout_seconds=5))
        await kernel.destroy()


@pytest.mark.parametrize("era", [SEED, TRANSITION, SESSION_5], ids=lambda era: str(era.name))
async def test_nothing_is_created_where_it_cannot_be_followed(era: object) -> None:
    options = GatewayOptions(eras=[era])  # type: ignore[list-item]
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        with pytest.raises(LocalProtocolError, match=r"from 20\.09 on"):
            await run_batch(client, PYTHON, BatchJob("true"))
        assert gateway.tokens() == []


async def test_enqueued_job_runs_without_its_client() -> None:
    async with serving() as (gateway, client):
        kernel = await enqueue_kernel(client, PYTHON, token="job1", job=BatchJob("echo alone"))
        while (row := await row_of(client, kernel.kernel_id))["status"] != "TERMINATED":  # noqa: ASYNC110
            await trio.sleep(0.05)
        assert row["result"] == "SUCCESS"
        assert await task_log(client, kernel.kernel_id) == "alone\n"
        assert gateway.tokens() == []
