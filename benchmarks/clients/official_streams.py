"""Streams of an official client, in whose venv it runs; the orders are those of ours_streams.py."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from ai.backend.client.session import AsyncSession
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
    output,
    terminal_output,
)


class Streams:
    """The orders."""

    kernel: Any
    typing: Any = None
    _typing_context: Any = None

    def __init__(self, session: Any) -> None:
        self._session = session

    async def open(self, runtime: str = "python") -> Figures:
        name = "bench" + secrets.token_hex(8)
        self.kernel = await self._session.ComputeSession.get_or_create(runtime, name=name)
        return {}

    async def close(self) -> Figures:
        if self._typing_context is not None:
            await self._typing_context.__aexit__(None, None, None)
            self._typing_context = None
        await self.kernel.destroy()
        return {}

    async def terminal(self, size: int) -> Figures:
        async with self.kernel.stream_pty() as pty:
            start = time.perf_counter()
            got = len(await begin(pty, terminal_output(size)))
            while got < size:
                got += len(await shown(pty))
            return {"seconds": time.perf_counter() - start}

    async def execute(self, size: int) -> Figures:
        start = time.perf_counter()
        got = 0
        async with self.kernel.stream_execute(execute_output(size)) as stream:
            async for reply in replies(stream):
                got += len(output(reply))
        if got != size:
            raise ValueError(f"{got} bytes arrived instead of {size}")
        return {"seconds": time.perf_counter() - start}

    async def hello(self) -> Figures:
        start = time.perf_counter()
        await greet(self.kernel)
        return {"seconds": time.perf_counter() - start}

    async def first_output(self) -> Figures:
        """Create a kernel and run code there; the seconds until its output is there."""
        start = time.perf_counter()
        await self.open()
        try:
            printed = await greet(self.kernel)
        finally:
            await self.close()
        return {"seconds": printed - start}

    async def echo(self) -> Figures:
        self._typing_context = self.kernel.stream_pty()
        self.typing = await self._typing_context.__aenter__()
        await begin(self.typing, TERMINAL_ECHO)
        return {}

    async def keys(self, count: int) -> Figures:
        taken = [await echo_of_key(self.typing) for _ in range(FIRST_KEYS + count)]
        return {"seconds": taken[FIRST_KEYS:]}

    async def resize(self) -> Figures:
        async with self.kernel.stream_pty() as pty:
            got = await begin(pty, TERMINAL_SIZE)
            start = time.perf_counter()
            # Its own method fails: it looks for its WebSocket under a name that it does not have.
            await pty.send_json({"type": "resize", "rows": ROWS, "cols": COLUMNS})
            while SHOWN_SIZE not in got:
                got += await shown(pty)
            return {"seconds": time.perf_counter() - start}

    async def interrupt(self, runtime: str) -> Figures:
        async with self.kernel.stream_execute(BUSY[runtime]) as stream:
            up, start = Awaited(UP), 0.0
            async for reply in replies(stream):
                if up.feed(output(reply)):
                    start = time.perf_counter()
                    await self.kernel.interrupt()
            if not start:
                raise ValueError(f"the run has ended without {UP!r}")
            return {"seconds": time.perf_counter() - start}


async def replies(stream: Any) -> AsyncIterator[dict[str, Any]]:
    """The replies of a run, to the one that says that it has ended."""
    async for message in stream:
        if not isinstance(message.data, str):
            continue
        reply = json.loads(message.data)
        yield reply
        if reply.get("status") == "finished":
            return
    raise ValueError("the connection has ended before the run")


async def greet(kernel: Any) -> float:
    """Run code that prints; when its output was there."""
    greeting, printed = Awaited(GREETING), 0.0
    async with kernel.stream_execute(HELLO) as stream:
        async for reply in replies(stream):
            if greeting.feed(output(reply)):
                printed = time.perf_counter()
    if not printed:
        raise ValueError(f"the run has ended without {GREETING!r}")
    return printed


async def begin(pty: Any, command: bytes) -> bytes:
    """Give a command; what it has printed after it was ready."""
    await send(pty, command)
    got = b""
    while READY not in got:
        got += await shown(pty)
    return got.partition(READY)[2]


async def echo_of_key(pty: Any) -> float:
    """Type a key; the seconds until it is shown."""
    start = time.perf_counter()
    await send(pty, b"x")
    got = await shown(pty)
    took = time.perf_counter() - start
    if got != b"x":
        raise ValueError(f"the echo of x is {got!r}")
    return took


async def send(pty: Any, data: bytes) -> None:
    await pty.send_json({"type": "stdin", "chars": base64.b64encode(data).decode("ascii")})


async def shown(pty: Any) -> bytes:
    message = json.loads(await pty.receive_str())
    return base64.b64decode(message["data"])


async def main() -> None:
    async with AsyncSession() as session:
        streams = Streams(session)
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
            asyncio.to_thread,
        )


if __name__ == "__main__":
    asyncio.run(main())
