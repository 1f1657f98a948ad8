"""The official client's side of the benchmark of streams; started by streams.py in its venv."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from typing import Any

from ai.backend.client.session import AsyncSession
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


async def main() -> None:
    async with AsyncSession() as session:
        while order := await asyncio.to_thread(next_order):
            measure, _, runtime = order.partition(" ")
            kernel = await session.ComputeSession.get_or_create(
                runtime or "python", name="bench" + secrets.token_hex(8)
            )
            try:
                answer(await _MEASURES[measure](kernel, runtime))
            finally:
                await kernel.destroy()


async def terminal(kernel: Any, _runtime: str) -> Figures:
    async with kernel.stream_pty() as pty:
        start = time.perf_counter()
        size = len(await _begin(pty, TERMINAL_OUTPUT))
        while size < OUTPUT_BYTES:
            size += len(await _shown(pty))
        return {"seconds": [time.perf_counter() - start]}


async def execute(kernel: Any, _runtime: str) -> Figures:
    start = time.perf_counter()
    size = 0
    async with kernel.stream_execute(EXECUTE_OUTPUT) as stream:
        async for message in stream:
            reply = json.loads(message.data)
            size += sum(len(text) for kind, text in reply["console"] or () if kind == "stdout")
            if reply["status"] == "finished":
                break
    assert size == OUTPUT_BYTES, size
    return {"seconds": [time.perf_counter() - start]}


async def echo(kernel: Any, _runtime: str) -> Figures:
    async with kernel.stream_pty() as pty:
        await _begin(pty, TERMINAL_ECHO)
        await asyncio.sleep(START_SECONDS)
        answer({})
        while await asyncio.to_thread(next_order) == KEYS:
            taken = [await _echo_of_key(pty) for _ in range(FIRST_KEYS + TURN_KEYS)]
            answer({"seconds": taken[FIRST_KEYS:]})
    return {}


async def resize(kernel: Any, _runtime: str) -> Figures:
    async with kernel.stream_pty() as pty:
        shown = await _begin(pty, TERMINAL_SIZE)
        start = time.perf_counter()
        # Its own method fails: it looks for its WebSocket under a name that it does not have.
        await pty.send_json({"type": "resize", "rows": ROWS, "cols": COLUMNS})
        while SHOWN_SIZE not in shown:
            shown += await _shown(pty)
        return {"seconds": [time.perf_counter() - start]}


async def interrupt(kernel: Any, runtime: str) -> Figures:
    async with kernel.stream_execute(BUSY[runtime]) as stream:
        reply = json.loads(await stream.receive_str())
        while not reply["console"]:  # compiling takes its time
            reply = json.loads(await stream.receive_str())
        assert reply["console"] == [["stdout", "up\n"]], reply
        await asyncio.sleep(SETTLE_SECONDS)
        start = time.perf_counter()
        await kernel.interrupt()
        async for message in stream:
            if json.loads(message.data)["status"] == "finished":
                return {"seconds": [time.perf_counter() - start]}
    raise AssertionError("the run has no end")


async def _begin(pty: Any, command: bytes) -> bytes:
    """Give a command; what it has printed when it was ready."""
    await _type(pty, command)
    got = b""
    while READY not in got:
        got += await _shown(pty)
    return got.partition(READY)[2]


async def _echo_of_key(pty: Any) -> float:
    """Type a key; the seconds until it is shown."""
    start = time.perf_counter()
    await _type(pty, b"x")
    assert await _shown(pty) == b"x"
    return time.perf_counter() - start


async def _type(pty: Any, data: bytes) -> None:
    await pty.send_json({"type": "stdin", "chars": base64.b64encode(data).decode("ascii")})


async def _shown(pty: Any) -> bytes:
    message = json.loads(await pty.receive_str())
    return base64.b64decode(message["data"])


_MEASURES = {
    "terminal": terminal,
    "execute": execute,
    "echo": echo,
    "resize": resize,
    "interrupt": interrupt,
}

if __name__ == "__main__":
    asyncio.run(main())
