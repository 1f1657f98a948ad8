"""Restarts that overlap with other calls: what comes after the request gets a new interpreter."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from backendai_trio import Client, KernelSpec, TrioKernel, open_kernel

from ..checkpoints import cancelling

ANSWER = [("stdout", "42\n")]


@pytest.fixture
async def kernel(client: Client) -> AsyncIterator[TrioKernel]:
    async with open_kernel(client, KernelSpec(runtime="python")) as opened:
        await opened.run("x = 1")
        yield opened


async def test_runs_after_a_restart_that_was_cancelled(kernel: TrioKernel) -> None:
    """The server goes on with the restart that its client has left, at each checkpoint in turn."""
    with cancelling() as instrument:
        total = await instrument.count(kernel.restart)
        for number in range(1, total + 1):
            await instrument.run(number, kernel.restart)
            result = await kernel.run("print(6 * 7)")
            assert result["console"] == ANSWER, (number, result)


async def test_runs_during_a_restart(kernel: TrioKernel) -> None:
    """They run whole, or are ended by the restart; none has an interpreter that is being ended."""
    results = []

    async def run(delay: int) -> None:
        for _ in range(delay):
            await trio.lowlevel.checkpoint()
        results.append(await kernel.run("print(6 * 7)"))

    for delay in range(0, 60, 3):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kernel.restart)
            nursery.start_soon(run, delay)
    for result in results:
        assert result["exitCode"] in (0, 130), result
        assert all(kind == "stdout" for kind, _ in result["console"]), result


async def test_completions_during_a_restart(kernel: TrioKernel) -> None:
    """They come from the new interpreter, or there are none."""
    found = []

    async def complete(delay: int) -> None:
        for _ in range(delay):
            await trio.lowlevel.checkpoint()
        found.append(await kernel.complete("pri", col=3, line="pri"))

    for delay in range(0, 60, 3):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kernel.restart)
            nursery.start_soon(complete, delay)
    assert all(words == [] or any("print" in word for word in words) for words in found), found
