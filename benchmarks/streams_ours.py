"""Our side of the benchmark of streams; started by streams.py."""

from __future__ import annotations

import time

import trio
from streams_work import (
    BUSY,
    COLUMNS,
    EXECUTE_OUTPUT,
    FIRST_KEYS,
    KEYS,
    OUTPUT_BYTES,
    READY,
    ROWS,
    SETTLE_SECONDS,
    SHOWN_SIZE,
    START_SECONDS,
    TERMINAL_ECHO,
    TERMINAL_OUTPUT,
    TERMINAL_SIZE,
    TURN_KEYS,
    Figures,
    answer,
    next_order,
)

from backendai_trio import (
    Finished,
    KernelSpec,
    Stdout,
    Terminal,
    TrioKernel,
    open_client,
    open_kernel,
    open_terminal,
)


async def main() -> None:
    async with open_client() as client:
        while order := await trio.to_thread.run_sync(next_order):
            measure, _, runtime = order.partition(" ")
            async with open_kernel(client, KernelSpec(runtime=runtime or "python")) as kernel:
                answer(await _MEASURES[measure](kernel, runtime))


async def terminal(kernel: TrioKernel, _runtime: str) -> Figures:
    async with open_terminal(kernel) as opened:
        start = time.perf_counter()
        size = len(await _begin(opened, TERMINAL_OUTPUT))
        while size < OUTPUT_BYTES:
            size += len(await opened.receive_some())
        return {"seconds": [time.perf_counter() - start]}


async def execute(kernel: TrioKernel, _runtime: str) -> Figures:
    start = time.perf_counter()
    size = 0
    async with kernel.execute(EXECUTE_OUTPUT) as run:
        async for event in run:
            if isinstance(event, Stdout):
                size += len(event.text)
    assert size == OUTPUT_BYTES, size
    return {"seconds": [time.perf_counter() - start]}


async def echo(kernel: TrioKernel, _runtime: str) -> Figures:
    async with open_terminal(kernel) as opened:
        await _begin(opened, TERMINAL_ECHO)
        await trio.sleep(START_SECONDS)
        answer({})
        while await trio.to_thread.run_sync(next_order) == KEYS:
            taken = [await _echo_of_key(opened) for _ in range(FIRST_KEYS + TURN_KEYS)]
            answer({"seconds": taken[FIRST_KEYS:]})
    return {}


async def resize(kernel: TrioKernel, _runtime: str) -> Figures:
    async with open_terminal(kernel) as opened:
        shown = await _begin(opened, TERMINAL_SIZE)
        start = time.perf_counter()
        await opened.resize(ROWS, COLUMNS)
        while SHOWN_SIZE not in shown:
            shown += await opened.receive_some()
        return {"seconds": [time.perf_counter() - start]}


async def interrupt(kernel: TrioKernel, runtime: str) -> Figures:
    async with kernel.execute(BUSY[runtime]) as run:
        assert await anext(run) == Stdout("up\n")
        await trio.sleep(SETTLE_SECONDS)
        start = time.perf_counter()
        await run.interrupt()
        async for event in run:
            if isinstance(event, Finished):
                return {"seconds": [time.perf_counter() - start]}
    raise AssertionError("the run has no end")


async def _begin(opened: Terminal, command: bytes) -> bytes:
    """Give a command; what it has printed when it was ready."""
    await opened.send_all(command)
    got = b""
    while READY not in got:
        got += await opened.receive_some()
    return got.partition(READY)[2]


async def _echo_of_key(opened: Terminal) -> float:
    """Type a key; the seconds until it is shown."""
    start = time.perf_counter()
    await opened.send_all(b"x")
    assert await opened.receive_some() == b"x"
    return time.perf_counter() - start


_MEASURES = {
    "terminal": terminal,
    "execute": execute,
    "echo": echo,
    "resize": resize,
    "interrupt": interrupt,
}

if __name__ == "__main__":
    trio.run(main)
