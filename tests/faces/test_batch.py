"""Batch sessions, and kernels left in the queue, on the faces for scripts and for asyncio."""

from __future__ import annotations

import asyncio
from pathlib import Path

from backendai_trio import Kernel, KernelSpec
from backendai_trio.asyncio import AsyncKernel
from backendai_trio.kernels import BatchJob
from backendai_trio.testing import TestGateway

PYTHON = KernelSpec(runtime="python")


def test_blocking(served: TestGateway, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("here\n")
    job = BatchJob("cat a.txt; exit 4")
    result = Kernel.run_batch(PYTHON, job, files=[tmp_path / "a.txt"], config=served.config)
    assert (result.exit_code, result.succeeded, result.log) == (4, False, "here\n")
    kernel = Kernel.enqueue(PYTHON, token="later", config=served.config)
    assert kernel.created and served.tokens() == ["later"]
    kernel.destroy()
    assert served.tokens() == []


def test_asyncio(served: TestGateway) -> None:
    async def main() -> None:
        config = served.config
        result = await AsyncKernel.run_batch(PYTHON, BatchJob("echo said"), config=config)
        assert (result.exit_code, result.succeeded, result.log) == (0, True, "said\n")
        task = asyncio.create_task(
            AsyncKernel.run_batch(PYTHON, BatchJob("sleep 60"), token="job1", config=config)
        )
        async with asyncio.timeout(30):
            while served.tokens() != ["job1"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert served.tokens() == []

    asyncio.run(main())
