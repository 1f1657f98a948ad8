"""One process that holds many kernels and terminals, and sweeps over many cases."""

from __future__ import annotations

import statistics
import time
from contextlib import AsyncExitStack

import trio
from ours_streams import echo_of_key
from protocol import Figures, obey
from work import HELLO, memory

from backendai_trio import (
    Case,
    Client,
    KernelSpec,
    Terminal,
    TrioKernel,
    attach_kernel,
    open_client,
    open_kernel,
    open_sweep,
    open_terminal,
)

PYTHON = KernelSpec(runtime="python")
IDLE_SECONDS = 3.0
TYPED = 300
"""How many echoes are measured."""


class Scale:
    """The orders."""

    def __init__(self, client: Client, stack: AsyncExitStack) -> None:
        self._client = client
        self._stack = stack
        self._kernels: list[TrioKernel] = []
        self._terminals: list[Terminal] = []
        self._before = 0

    async def start(self) -> Figures:
        """Load all that one kernel and terminal need, so that more of them add only themselves."""
        kernel = await attach_kernel(self._client, PYTHON, token="bench-first")
        async with open_terminal(kernel) as opened:
            await echo_of_key(opened)
        self._before = memory("VmRSS")
        return {}

    async def terminals(self, count: int) -> Figures:
        """Hold so many kernels with a terminal in each; bytes of memory, CPU, and an echo."""
        while len(self._terminals) < count:
            token = f"bench-{len(self._terminals)}"
            kernel = await attach_kernel(self._client, PYTHON, token=token)
            self._kernels.append(kernel)
            opened = await self._stack.enter_async_context(open_terminal(kernel))
            self._terminals.append(opened)
        grown = memory("VmRSS") - self._before
        busy = time.process_time()
        await trio.sleep(IDLE_SECONDS)
        cpu = (time.process_time() - busy) / IDLE_SECONDS
        turns = [self._terminals[number % count] for number in range(TYPED)]
        echoes = [await echo_of_key(opened) for opened in turns]
        return {"bytes": grown, "cpu": cpu, "echo": statistics.median(echoes)}

    async def kernels(self, count: int) -> Figures:
        """Hold so many kernels, and run code in the last one."""
        while len(self._kernels) < count:
            kernel = await self._stack.enter_async_context(open_kernel(self._client, PYTHON))
            self._kernels.append(kernel)
        times = []
        for _ in range(20):
            start = time.perf_counter()
            await self._kernels[-1].run(HELLO)
            times.append(time.perf_counter() - start)
        return {"seconds": statistics.median(times)}

    async def sweep(self, count: int) -> Figures:
        """A sweep of so many cases, two at a time; the seconds of each."""
        cases = [Case({"N": str(number)}, {"N": str(number)}) for number in range(count)]
        done = 0
        start = time.perf_counter()

        async def work(kernel: TrioKernel, _case: Case) -> None:
            await kernel.run(HELLO)

        async with open_sweep(self._client, PYTHON, cases, work, max_parallel=2) as results:
            async for result in results:
                if result.error is not None:
                    raise result.error
                done += 1
        if done != count:
            raise ValueError(f"{done} of {count} cases were done")
        return {"seconds": (time.perf_counter() - start) / count}

    async def loop(self, count: int) -> Figures:
        """The same by hand: two tasks, each with one kernel after the other."""

        async def half() -> None:
            for _ in range(count // 2):
                async with open_kernel(self._client, PYTHON) as kernel:
                    await kernel.run(HELLO)

        start = time.perf_counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(half)
            nursery.start_soon(half)
        return {"seconds": (time.perf_counter() - start) / count}


async def main() -> None:
    async with open_client() as client, AsyncExitStack() as stack:
        scale = Scale(client, stack)
        await obey(
            {
                "start": scale.start,
                "terminals": scale.terminals,
                "kernels": scale.kernels,
                "sweep": scale.sweep,
                "loop": scale.loop,
            },
            trio.to_thread.run_sync,
        )


if __name__ == "__main__":
    trio.run(main)
