"""Streams of this client."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

import trio
from protocol import Figures, obey
from work import (
    BUSY,
    COLUMNS,
    FIRST_KEYS,
    GREETING,
    HELLO,
    READY,
    ROWS,
    SHOWN_SIZE,
    TERMINAL_ECHO,
    TERMINAL_SIZE,
    UP,
    Awaited,
    execute_output,
    terminal_output,
)

from backendai_trio import (
    Client,
    Execution,
    KernelSpec,
    Stdout,
    Terminal,
    TrioKernel,
    open_client,
    open_kernel,
    open_terminal,
)


class Streams:
    """The orders."""

    kernel: TrioKernel
    typing: Terminal

    def __init__(self, client: Client, stack: AsyncExitStack) -> None:
        self._client = client
        self._stack = stack

    async def open(self, runtime: str = "python") -> Figures:
        spec = KernelSpec(runtime=runtime)
        self.kernel = await self._stack.enter_async_context(open_kernel(self._client, spec))
        return {}

    async def close(self) -> Figures:
        await self._stack.aclose()
        return {}

    async def terminal(self, size: int) -> Figures:
        async with open_terminal(self.kernel) as opened:
            start = time.perf_counter()
            got = len(await begin(opened, terminal_output(size)))
            while got < size:
                got += len(await received(opened))
            return {"seconds": time.perf_counter() - start}

    async def execute(self, size: int) -> Figures:
        start = time.perf_counter()
        got = 0
        async with self.kernel.execute(execute_output(size)) as run:
            async for event in run:
                if isinstance(event, Stdout):
                    got += len(event.text)
        if got != size:
            raise ValueError(f"{got} bytes arrived instead of {size}")
        return {"seconds": time.perf_counter() - start}

    async def hello(self) -> Figures:
        start = time.perf_counter()
        async with self.kernel.execute(HELLO) as run:
            await printed(run, GREETING)
            async for _ in run:
                pass
        return {"seconds": time.perf_counter() - start}

    async def first_output(self) -> Figures:
        """Create a kernel and run code there; the seconds until its output is there."""
        start = time.perf_counter()
        spec = KernelSpec(runtime="python")
        async with open_kernel(self._client, spec) as kernel, kernel.execute(HELLO) as run:
            await printed(run, GREETING)
            took = time.perf_counter() - start
            async for _ in run:
                pass
        return {"seconds": took}

    async def echo(self) -> Figures:
        """Open a terminal to type in; it stays open until the kernel is closed."""
        self.typing = await self._stack.enter_async_context(open_terminal(self.kernel))
        await begin(self.typing, TERMINAL_ECHO)
        return {}

    async def keys(self, count: int) -> Figures:
        taken = [await echo_of_key(self.typing) for _ in range(FIRST_KEYS + count)]
        return {"seconds": taken[FIRST_KEYS:]}

    async def resize(self) -> Figures:
        async with open_terminal(self.kernel) as opened:
            shown = await begin(opened, TERMINAL_SIZE)
            start = time.perf_counter()
            await opened.resize(ROWS, COLUMNS)
            while SHOWN_SIZE not in shown:
                shown += await received(opened)
            return {"seconds": time.perf_counter() - start}

    async def interrupt(self, runtime: str) -> Figures:
        async with self.kernel.execute(BUSY[runtime]) as run:
            await printed(run, UP)
            start = time.perf_counter()
            await run.interrupt()
            async for _ in run:
                pass
            return {"seconds": time.perf_counter() - start}


async def printed(run: Execution, wanted: str) -> None:
    """Wait for output, whatever comes before it, and in however many pieces it comes."""
    awaited = Awaited(wanted)
    async for event in run:
        if isinstance(event, Stdout) and awaited.feed(event.text):
            return
    raise ValueError(f"the run has ended without {wanted!r}")


async def begin(opened: Terminal, command: bytes) -> bytes:
    """Give a command; what it has printed after it was ready."""
    await opened.send_all(command)
    got = b""
    while READY not in got:
        got += await received(opened)
    return got.partition(READY)[2]


async def received(opened: Terminal) -> bytes:
    data = await opened.receive_some()
    if not data:
        raise ValueError("the terminal has ended")
    return data


async def echo_of_key(opened: Terminal) -> float:
    """Type a key; the seconds until it is shown."""
    start = time.perf_counter()
    await opened.send_all(b"x")
    shown = await opened.receive_some()
    took = time.perf_counter() - start
    if shown != b"x":
        raise ValueError(f"the echo of x is {shown!r}")
    return took


async def main() -> None:
    async with open_client() as client, AsyncExitStack() as stack:
        streams = Streams(client, stack)
        await obey(
            {
                "open": streams.open,
                "close": streams.close,
                "terminal": streams.terminal,
                "execute": streams.execute,
                "hello": streams.hello,
                "first_output": streams.first_output,
                "echo": streams.echo,
                "keys": streams.keys,
                "resize": streams.resize,
                "interrupt": streams.interrupt,
            },
            trio.to_thread.run_sync,
        )


if __name__ == "__main__":
    trio.run(main)
