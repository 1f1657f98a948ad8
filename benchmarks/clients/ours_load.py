"""One process that loads a gateway with kernels, terminals and code, and goes beyond its limits."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack

import trio
from ours_streams import begin, echo_of_key
from protocol import Figures, obey
from work import FIRST_KEYS, TERMINAL_ECHO, memory, output, raise_open_files

from backendai_trio import (
    ApiError,
    Client,
    KernelSpec,
    Stdout,
    Terminal,
    TrioKernel,
    attach_kernel,
    open_client,
    open_kernel,
    open_terminal,
)
from backendai_trio.transport.limits import Limits

PYTHON = KernelSpec(runtime="python")
CONNECTIONS = 400
"""The most requests of this client at once."""
LANES = 100
"""The most runs at once of those that begin at a rate: the default of a client."""
CREATES_AT_ONCE = 2
SETTLE_SECONDS = 1.0
"""For the gateway to see which connections have come and gone."""
ACCEPT_SECONDS = 120.0
"""For it to accept all of them, and to turn some away."""
PATIENCE_SECONDS = 20.0
"""A refusal that takes longer is none."""


class Load:
    """The orders."""

    def __init__(self, client: Client, nursery: trio.Nursery) -> None:
        self._client = client
        self._nursery = nursery
        self._kernels: list[TrioKernel] = []
        self._terminals: list[Terminal] = []
        self._silent = ExitStack()
        self._runs = 0
        self._sleeping = trio.Event()
        self._watching = trio.CancelScope()
        self._watched: dict[str, list[float]] = {}

    async def kernels(self, count: int, *, run: bool) -> Figures:
        """Create so many kernels, two at a time; the seconds of each.

        Args:
            count: how many there are in the end.
            run: whether the seconds are those until code has run in it, too.
        """
        seconds: list[float] = []

        async def create(number: int) -> None:
            start = time.perf_counter()
            kernel = await attach_kernel(self._client, PYTHON, token=f"load-{number}")
            if run:
                await self._run(kernel)
            seconds.append(time.perf_counter() - start)
            self._kernels.append(kernel)

        await for_each(range(len(self._kernels), count), create, at_once=CREATES_AT_ONCE)
        return {"seconds": seconds, "memory": memory("VmRSS")}

    async def destroy(self) -> Figures:
        """Destroy all kernels, two at a time; the seconds of each."""
        seconds: list[float] = []

        async def destroy(kernel: TrioKernel) -> None:
            start = time.perf_counter()
            await kernel.destroy()
            seconds.append(time.perf_counter() - start)

        await for_each(self._kernels, destroy, at_once=CREATES_AT_ONCE)
        self._kernels.clear()
        return {"seconds": seconds}

    async def executes(self) -> Figures:
        """Run code in each kernel: one after the other, then in all at once."""
        seconds = [await self._run(kernel) for kernel in self._kernels]
        start = time.perf_counter()
        await for_each(self._kernels, self._run, at_once=len(self._kernels))
        return {"seconds": seconds, "all": time.perf_counter() - start}

    async def sleep_everywhere(self, seconds: float) -> Figures:
        """Start a program in each kernel that sleeps."""
        self._sleeping = trio.Event()
        await self._nursery.start(self._sleep, seconds, self._sleeping)
        return {}

    async def slept(self) -> Figures:
        """Wait until these programs have ended."""
        await self._sleeping.wait()
        return {}

    async def _sleep(
        self,
        seconds: float,
        done: trio.Event,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        started = 0

        async def run(kernel: TrioKernel) -> None:
            nonlocal started
            code = f"import time; print(1, flush=True); time.sleep({seconds})"
            async with kernel.execute(code) as execution:
                async for event in execution:
                    if isinstance(event, Stdout):
                        started += 1
                        if started == len(self._kernels):
                            task_status.started()

        await for_each(self._kernels, run, at_once=len(self._kernels))
        done.set()

    async def rate(self, a_second: float, seconds: float) -> Figures:
        """Run code at a rate, each run when it is due, whether the ones before it are done or not.

        Returns:
            The seconds of each run, counted from when it was due, and of all together.
        """
        taken: list[float] = []
        began = trio.current_time()

        async def run(number: int) -> None:
            due = began + number / a_second
            await trio.sleep_until(due)
            await self._run(self._kernels[number % len(self._kernels)])
            taken.append(trio.current_time() - due)

        # Each task has every n-th run.
        lanes = LANES
        count = round(a_second * seconds)

        async def lane(first: int) -> None:
            for number in range(first, count, lanes):
                await run(number)

        await for_each(range(min(lanes, count)), lane, at_once=lanes)
        return {"seconds": taken, "all": trio.current_time() - began}

    async def most(self, seconds: float) -> Figures:
        """Run code in all kernels, one run after the other in each; how many came to their end."""
        count = 0
        began = trio.current_time()

        async def work(kernel: TrioKernel) -> None:
            nonlocal count
            while trio.current_time() < began + seconds:
                await self._run(kernel)
                count += 1

        await for_each(self._kernels, work, at_once=len(self._kernels))
        return {"count": count, "all": trio.current_time() - began}

    async def terminals(self, count: int) -> Figures:
        """Hold so many terminals, each in a kernel of its own, ready to echo what is typed."""

        for kernel in self._kernels[len(self._terminals) : count]:
            self._terminals.append(await self._nursery.start(hold_terminal, kernel))
        return {"memory": memory("VmRSS")}

    async def echoes(self, count: int) -> Figures:
        """The seconds of so many echoes in one of the terminals."""
        taken = [await echo_of_key(self._terminals[0]) for _ in range(FIRST_KEYS + count)]
        return {"seconds": taken[FIRST_KEYS:]}

    async def echo_everywhere(self) -> Figures:
        """The seconds of an echo in each terminal."""
        return {"seconds": [await echo_of_key(opened) for opened in self._terminals]}

    async def watch(self) -> Figures:
        """From now on, run code in a kernel 20 times a second, and create one each second."""
        self._watching = trio.CancelScope()
        self._watched = {"runs": [], "creates": []}
        self._nursery.start_soon(self._watch)
        await trio.lowlevel.checkpoint()
        return {}

    async def watched(self) -> Figures:
        """End that; the seconds of each."""
        while not all(self._watched.values()):  # noqa: ASYNC110 (a look now and then is enough)
            await trio.sleep(0.05)
        self._watching.cancel()
        return self._watched

    async def pause(self, seconds: float) -> Figures:
        """Do nothing."""
        await trio.sleep(seconds)
        return {}

    async def fill(self, most: int, free: int) -> Figures:
        """Open connections that say nothing, until the gateway turns one away.

        Args:
            most: how many it takes.
            free: how many of these are closed again.
        """
        address = self._client.config.endpoint
        opened = []
        for _ in range(most + 1):
            connection = socket.create_connection((address.host, address.port))
            self._silent.callback(reset, connection)
            opened.append(connection)
        kept, before = opened, 0
        with trio.fail_after(ACCEPT_SECONDS):
            while len(kept) > most or len(kept) != before:
                before = len(kept)
                await trio.sleep(SETTLE_SECONDS)
                kept = [connection for connection in kept if not has_answer(connection)]
        for connection in kept[:free]:
            reset(connection)
        await trio.sleep(SETTLE_SECONDS)
        return {"held": len(kept) - free}

    async def drain(self) -> Figures:
        """Close the connections that say nothing."""
        self._silent.close()
        await trio.lowlevel.checkpoint()
        return {}

    async def kernel_too_many(self) -> Figures:
        """Create a kernel that is to be refused; the seconds, and how."""

        async def create() -> None:
            async with open_kernel(self._client, PYTHON):
                pass

        return await refused(create)

    async def terminal_too_many(self) -> Figures:
        """Attach to a terminal, which is to be refused; the seconds, and how."""

        async def attach() -> None:
            async with open_terminal(self._kernels[0]):
                pass

        return await refused(attach)

    async def _watch(self) -> None:
        async def repeat(name: str, pause: float, action: Callable[[], Awaitable[float]]) -> None:
            while True:
                self._watched[name].append(await action())
                await trio.sleep(pause)

        with self._watching:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(repeat, "runs", 0.05, self._run_first)
                nursery.start_soon(repeat, "creates", 1.0, self._create_and_end)

    async def _run_first(self) -> float:
        return await self._run(self._kernels[0])

    async def _create_and_end(self) -> float:
        """Create a kernel, and end it; the seconds of the create and of a run."""
        start = time.perf_counter()
        async with open_kernel(self._client, PYTHON) as kernel:
            await self._run(kernel)
            return time.perf_counter() - start

    async def _run(self, kernel: TrioKernel) -> float:
        """Run code that prints a number of its own; the seconds."""
        self._runs += 1
        number = self._runs
        start = time.perf_counter()
        result = await kernel.run(f"print({number})")
        if result["exitCode"] != 0 or output(result) != f"{number}\n":
            raise ValueError(f"print({number}) has ended with {result}")
        return time.perf_counter() - start


async def hold_terminal(
    kernel: TrioKernel, *, task_status: trio.TaskStatus[Terminal] = trio.TASK_STATUS_IGNORED
) -> None:
    """Hold a terminal that echoes what is typed, until cancelled."""
    async with open_terminal(kernel) as opened:
        await begin(opened, TERMINAL_ECHO)
        task_status.started(opened)
        await trio.sleep_forever()


async def for_each(
    items: Sequence[object] | range, work: Callable[..., Awaitable[object]], *, at_once: int
) -> None:
    """Await work for each item, so many of them at once."""
    waiting = iter(items)

    async def go_on() -> None:
        for item in waiting:
            await work(item)

    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(go_on)


async def refused(action: Callable[[], Awaitable[None]]) -> Figures:
    """Do what the server is to refuse.

    Returns:
        The seconds until it has, and the error's type, status and text.

    Raises:
        ValueError: it has not.
    """
    start = time.perf_counter()
    with trio.move_on_after(PATIENCE_SECONDS):
        try:
            await action()
        except ApiError as exc:
            took = time.perf_counter() - start
            return {"seconds": took, "how": f"{type(exc).__name__}, {exc.status}: {exc}"}
        raise ValueError("it was not refused")
    raise ValueError("it was not refused in time")


def has_answer(connection: socket.socket) -> bool:
    """Whether the server has sent something, or has closed the connection."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def reset(connection: socket.socket) -> None:
    """Close a connection at once: a thousand of them must not stay in TIME_WAIT."""
    if connection.fileno() < 0:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


async def main() -> None:
    raise_open_files()
    limits = Limits(max_connections=CONNECTIONS)
    async with open_client(limits=limits) as client, trio.open_nursery() as nursery:
        load = Load(client, nursery)
        await obey(
            {
                "kernels": lambda count: load.kernels(count, run=True),
                "idle_kernels": lambda count: load.kernels(count, run=False),
                "destroy": load.destroy,
                "executes": load.executes,
                "sleep_everywhere": load.sleep_everywhere,
                "slept": load.slept,
                "rate": load.rate,
                "most": load.most,
                "terminals": load.terminals,
                "echoes": load.echoes,
                "echo_everywhere": load.echo_everywhere,
                "watch": load.watch,
                "watched": load.watched,
                "pause": load.pause,
                "fill": load.fill,
                "drain": load.drain,
                "kernel_too_many": load.kernel_too_many,
                "terminal_too_many": load.terminal_too_many,
            },
            trio.to_thread.run_sync,
        )
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
