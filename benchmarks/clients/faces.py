"""Runs of code over each of our interfaces; the argument is trio, asyncio or blocking."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from protocol import Figures, obey, obey_blocking

CODE = "print('hello world')"


async def on_trio() -> None:
    import trio

    from backendai_trio import open_client
    from backendai_trio.faces import compat

    start = time.perf_counter()
    async with open_client() as client:
        kernel = await compat.get_or_create(client, "python", client_token="bench")
        await compat.execute(kernel, CODE)
        first = time.perf_counter() - start

        async def calls(count: int) -> Figures:
            times = []
            for _ in range(count):
                begun = time.perf_counter()
                await compat.execute(kernel, CODE)
                times.append(time.perf_counter() - begun)
            return {"seconds": statistics.median(times)}

        await obey({"calls": calls, "first": lambda: {"seconds": first}}, trio.to_thread.run_sync)


async def on_asyncio() -> None:
    from backendai_trio.asyncio import AsyncKernel

    start = time.perf_counter()
    kernel = await AsyncKernel.get_or_create("python", client_token="bench")
    await kernel.execute(CODE)
    first = time.perf_counter() - start

    async def calls(count: int) -> Figures:
        times = []
        for _ in range(count):
            begun = time.perf_counter()
            await kernel.execute(CODE)
            times.append(time.perf_counter() - begun)
        return {"seconds": statistics.median(times)}

    await obey({"calls": calls, "first": lambda: {"seconds": first}}, asyncio.to_thread)


def blocking() -> None:
    from backendai_trio import Kernel

    start = time.perf_counter()
    kernel = Kernel.get_or_create("python", client_token="bench")
    kernel.execute(CODE)
    first = time.perf_counter() - start

    def calls(count: int) -> Figures:
        times = []
        for _ in range(count):
            begun = time.perf_counter()
            kernel.execute(CODE)
            times.append(time.perf_counter() - begun)
        return {"seconds": statistics.median(times)}

    obey_blocking({"calls": calls, "first": lambda: {"seconds": first}})


if __name__ == "__main__":
    match sys.argv[1]:
        case "trio":
            import trio

            trio.run(on_trio)
        case "asyncio":
            asyncio.run(on_asyncio())
        case "blocking":
            blocking()
