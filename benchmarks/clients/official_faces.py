"""The same as faces.py with an official client, in whose venv it runs: async or sync."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from protocol import Figures, obey, obey_blocking

CODE = "print('hello world')"


async def on_asyncio() -> None:
    from ai.backend.client.session import AsyncSession

    start = time.perf_counter()
    async with AsyncSession() as session:
        kernel = await session.ComputeSession.get_or_create("python", name="bench")
        await kernel.execute("bench", CODE, mode="query")
        first = time.perf_counter() - start

        async def calls(count: int) -> Figures:
            times = []
            for _ in range(count):
                begun = time.perf_counter()
                await kernel.execute("bench", CODE, mode="query")
                times.append(time.perf_counter() - begun)
            return {"seconds": statistics.median(times)}

        await obey({"calls": calls, "first": lambda: {"seconds": first}}, asyncio.to_thread)


def blocking() -> None:
    from ai.backend.client.session import Session

    start = time.perf_counter()
    with Session() as session:
        kernel = session.ComputeSession.get_or_create("python", name="bench")
        kernel.execute("bench", CODE, mode="query")
        first = time.perf_counter() - start

        def calls(count: int) -> Figures:
            times = []
            for _ in range(count):
                begun = time.perf_counter()
                kernel.execute("bench", CODE, mode="query")
                times.append(time.perf_counter() - begun)
            return {"seconds": statistics.median(times)}

        obey_blocking({"calls": calls, "first": lambda: {"seconds": first}})


if __name__ == "__main__":
    if sys.argv[1] == "async":
        asyncio.run(on_asyncio())
    else:
        blocking()
