"""Kernels that end in the middle of something, or fail: no other kernel notices."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
import trio

from backendai_trio import (
    BackendError,
    Finished,
    GatewayOptions,
    InputRequest,
    InvalidRequest,
    KernelSpec,
    NotFound,
    QuotaExceeded,
    Stderr,
    Stdout,
    attach_kernel,
    list_kernels,
    open_client,
    open_gateway,
    query,
)
from backendai_trio.gateway import GatewayLimits
from backendai_trio.gateway.kernels import running
from backendai_trio.gateway.kernels.queue import QueuedSession
from backendai_trio.gateway.kernels.run import Run
from backendai_trio.gateway.kernels.session import Session
from backendai_trio.kernels import BatchJob, BatchResult, enqueue_kernel, run_batch
from backendai_trio.wire.execution import ExecuteRequest

from ..processes.programs import wait_until

PYTHON = KernelSpec(runtime="python")


async def test_batch_session_that_is_destroyed_while_it_is_started() -> None:
    """Whenever the destroy comes, the gateway and its other kernels go on."""
    async with (
        open_gateway(GatewayOptions(release="23.09")) as gateway,
        open_client(gateway.config) as client,
    ):
        other = await attach_kernel(client, PYTHON, token="other")
        for number in range(5):
            # These managers answer before the kernel runs.
            token = f"job{number}"
            job = await enqueue_kernel(client, PYTHON, token=token, job=BatchJob("sleep 60"))
            assert gateway.waiting_tokens() == [token]
            await job.destroy()
        assert gateway.tokens() == ["other"]
        assert (await other.run("print(1)"))["exitCode"] == 0


async def test_kernel_whose_process_host_is_killed_ends() -> None:
    """Without its host no program starts in it, so it would be of no use."""
    options = GatewayOptions(isolation="process-group")
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        other = await attach_kernel(client, PYTHON, token="other")
        kernel = await attach_kernel(client, PYTHON, token="killed")
        session = gateway._sessions.find(gateway.config.access_key, "killed")
        root = session.host.work.parent
        async with kernel.execute("print('up', flush=True); input()") as run:
            assert await anext(run) == Stdout("up\n")
            assert await anext(run) == InputRequest()
            os.kill(session.host.own_pid, signal.SIGKILL)
            assert [event async for event in run] == [
                Stderr("the kernel's process host has died\n"),
                Finished(1),
            ]
        await session.gone.wait()
        assert gateway.tokens() == ["other"] and not root.exists()
        with pytest.raises(NotFound):
            await kernel.info()
        (row,) = await list_kernels(client, status="TERMINATED")
        assert row.reason == "failed"
        assert (await other.run("print(1)"))["exitCode"] == 0
        again = await attach_kernel(client, PYTHON, token="killed")
        assert again.created


async def test_kernel_whose_process_host_is_killed_waits_for_no_client() -> None:
    """The client of a run may never ask how it has ended, and meanwhile there are new clients."""
    limits = GatewayLimits(last_words_seconds=0.1)
    options = GatewayOptions(isolation="process-group", limits=limits)
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        kernel = await attach_kernel(client, PYTHON, token="killed")
        session = gateway._sessions.find(gateway.config.access_key, "killed")
        session.start(ExecuteRequest("query", "never-polled", "1"))
        os.kill(session.host.own_pid, signal.SIGKILL)
        await session.host.ended.wait()
        with pytest.raises(NotFound):
            await kernel.run("1")
        again = await attach_kernel(client, PYTHON, token="killed")
        assert again.created and session.gone.is_set() and session.end_reason == "failed"


async def test_batch_session_whose_process_host_is_killed_has_a_result() -> None:
    options = GatewayOptions(isolation="process-group")
    async with (
        open_gateway(options) as gateway,
        open_client(gateway.config) as client,
        trio.open_nursery() as nursery,
    ):
        results: list[BatchResult] = []

        async def run_job() -> None:
            job = BatchJob("echo up; sleep 60")
            results.append(await run_batch(client, PYTHON, job, token="job"))

        nursery.start_soon(run_job)
        await wait_until(lambda: gateway.tokens() == ["job"])
        session = gateway._sessions.find(gateway.config.access_key, "job")
        await wait_until(lambda: "up" in session.logs())
        os.kill(session.host.own_pid, signal.SIGKILL)
    (result,) = results
    assert (result.succeeded, result.exit_code, result.reason) == (False, 1, "task-failed")
    assert result.log == "up\nthe kernel's process host has died\n"


async def test_batch_session_whose_process_host_dies_at_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before its command is started. Its create is answered, and the session has failed."""
    start_job = running.start_job

    def start_late(session: Session, job: BatchJob) -> Run:
        os.kill(session.host.own_pid, signal.SIGKILL)
        session.host.ended.set()
        return start_job(session, job)

    monkeypatch.setattr(running, "start_job", start_late)
    options = GatewayOptions(isolation="process-group")
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        job = BatchJob("echo up")
        with trio.fail_after(30), pytest.raises(BackendError):
            await run_batch(client, PYTHON, job, token="job")
        assert gateway.tokens() == []
        (row,) = await list_kernels(client, status="TERMINATED")
        assert row.reason == "failed"


async def test_kernel_whose_task_fails_ends_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    async with open_gateway() as gateway, open_client(gateway.config) as client:
        other = await attach_kernel(client, PYTHON, token="other")
        kernel = await attach_kernel(client, PYTHON, token="failing")
        session = gateway._sessions.find(gateway.config.access_key, "failing")

        async def fail() -> None:
            await trio.lowlevel.checkpoint()
            raise ValueError("of this kernel")

        session.start_soon(fail)
        await session.gone.wait()
        assert gateway.tokens() == ["other"]
        with pytest.raises(NotFound):
            await kernel.info()
        text = "query($id: UUID) { compute_session(id: $id) { status status_info } }"
        row = (await query(client, text, {"id": kernel.kernel_id}))["compute_session"]
        assert row == {"status": "TERMINATED", "status_info": "failed"}
        assert "'failing' has failed" in caplog.text
        assert (await other.run("print(1)"))["exitCode"] == 0


async def test_queue_is_limited() -> None:
    """It is kept in memory."""
    async with (
        open_gateway(GatewayOptions(max_sessions=1, max_waiting=2)) as gateway,
        open_client(gateway.config) as client,
    ):
        kernels = [await enqueue_kernel(client, PYTHON, token=f"k{number}") for number in range(3)]
        with pytest.raises(QuotaExceeded, match="at most 1, and 2 more wait; destroy one"):
            await enqueue_kernel(client, PYTHON, token="k3")
        assert (gateway.tokens(), sorted(gateway.waiting_tokens())) == (["k0"], ["k1", "k2"])
        registry = gateway._sessions
        last = registry.find_any(gateway.config.access_key, "k2")
        assert isinstance(last, QueuedSession)
        assert registry.state_of(last).details.tries == 1
        await kernels[1].destroy()
        await enqueue_kernel(client, PYTHON, token="k3")
        assert sorted(gateway.waiting_tokens()) == ["k2", "k3"]
        state = registry.state_of(last)
        assert (state.details.tries, state.ahead) == (3, 0)


@pytest.mark.parametrize(
    ("spec", "job"),
    [
        (replace(PYTHON, environ={"A": "x" * 2_000_000}), None),
        (replace(PYTHON, tag="x" * 2_000_000), None),
        (PYTHON, BatchJob("x" * 2_000_000)),
    ],
)
@pytest.mark.parametrize("release", ["", "23.09"])
async def test_large_creates_are_refused(
    spec: KernelSpec, job: BatchJob | None, release: str
) -> None:
    """Kernels that wait are kept in memory, and no program could get so much."""
    async with (
        open_gateway(GatewayOptions(release=release)) as gateway,
        open_client(gateway.config) as client,
    ):
        with pytest.raises(InvalidRequest, match="more than 1,048,576 bytes"):
            await enqueue_kernel(client, spec, token="large", job=job)
        assert (gateway.tokens(), gateway.waiting_tokens()) == ([], [])


async def test_job_is_not_taken_for_abandoned() -> None:
    """No client polls it, and a run of a client waits for its end."""
    limits = GatewayLimits(abandoned_seconds=0, poll_seconds=0.2)
    async with (
        open_gateway(GatewayOptions(limits=limits)) as gateway,
        open_client(gateway.config) as client,
    ):
        command = "until [ -e go ]; do sleep 0.05; done; echo done; exit 3"
        await enqueue_kernel(client, PYTHON, token="job1", job=BatchJob(command))
        session = gateway._sessions.find(gateway.config.access_key, "job1")
        # A poll takes longer than it takes to interrupt an abandoned run.
        reply = await session.execute(ExecuteRequest("query", "run1", "print(1)"))
        assert (reply.status, session.logs()) == ("continued", "")
        (session.host.work / "go").touch()
        await session.gone.wait()
        assert session.job_result is not None
        assert (session.job_result.exit_code, session.logs()) == (3, "done\n")
