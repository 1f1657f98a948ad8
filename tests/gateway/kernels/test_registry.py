"""Kernels that end in the middle of something, or fail: no other kernel notices."""

from __future__ import annotations

import pytest

from backendai_trio import (
    GatewayOptions,
    KernelSpec,
    NotFound,
    attach_kernel,
    open_client,
    open_gateway,
    query,
)
from backendai_trio.gateway import GatewayLimits
from backendai_trio.kernels import BatchJob, enqueue_kernel
from backendai_trio.wire.execution import ExecuteRequest

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


async def test_kernel_whose_task_fails_ends_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    async with open_gateway() as gateway, open_client(gateway.config) as client:
        other = await attach_kernel(client, PYTHON, token="other")
        kernel = await attach_kernel(client, PYTHON, token="failing")
        session = gateway._sessions.find(gateway.config.access_key, "failing")

        async def fail() -> None:
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
