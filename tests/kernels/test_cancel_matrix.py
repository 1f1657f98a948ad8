"""No kernel is left behind, whenever the cancel comes.

The points are not picked by hand: a cancel is tried at the first checkpoint, the second, and so on
until the work completes before it.
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from dataclasses import replace as replaced
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from backendai_trio import (
    Client,
    Config,
    Finished,
    KernelLeftBehindWarning,
    KernelSpec,
    Stdout,
    TrioKernel,
    attach_kernel,
    open_client,
    open_kernel,
    run_kernel,
)
from backendai_trio.config.endpoints import parse_endpoint
from backendai_trio.gateway import Gateway
from backendai_trio.transport.connect import open_stream
from backendai_trio.wire.versions import SESSION_6, Hello

from ..checkpoints import CancelAt, cancelling
from ..local_kernels import kernel_processes
from ..proxies import Proxy

PYTHON = KernelSpec(runtime="python")


# --- what is left --------------------------------------------------------------------------------


@dataclass
class Scene:
    """A gateway, a client of it, and the folder where its kernels live."""

    gateway: Gateway
    client: Client
    folder: Path

    async def check(self) -> None:
        """Nothing is left, and the client is still usable."""
        assert self.gateway.tokens() == []
        processes = await trio.to_thread.run_sync(kernel_processes, self.folder)
        assert processes == []
        for gateway_folder in await trio.Path(self.folder).iterdir():
            assert list(await gateway_folder.iterdir()) == []
        async with open_kernel(self.client, PYTHON) as kernel:
            assert await say(kernel, "well") == "well\n"


@pytest.fixture
def scene(gateway: Gateway, client: Client, gateway_parent: Path) -> Scene:
    """What most tests here need."""
    return Scene(gateway, client, gateway_parent)


async def say(kernel: TrioKernel, word: str) -> str:
    said = ""
    async with kernel.execute(f"print({word!r})") as execution:
        async for event in execution:
            said += event.text if isinstance(event, Stdout) else ""
        assert execution.outcome == Finished(0)
    return said


async def test_processes_are_found(scene: Scene) -> None:
    """The check itself sees a kernel that is there: its host and its interpreter."""
    async with open_kernel(scene.client, PYTHON) as kernel:
        await say(kernel, "hello")
        processes = await trio.to_thread.run_sync(kernel_processes, scene.folder)
        assert len(processes) >= 2  # host and interpreter, and what keeps them apart
    await scene.check()


# --- cancelling at a checkpoint ------------------------------------------------------------------


async def everywhere(work: Callable[[], Awaitable[None]], numbers: list[int]) -> list[bool]:
    """Cancel the work at each of these checkpoints, several at a time."""
    completed: dict[int, bool] = {}
    limit = trio.CapacityLimiter(32)

    async def one(instrument: CancelAt, index: int, number: int) -> None:
        async with limit:
            completed[index] = await instrument.run(number, work)

    with cancelling() as instrument:
        async with trio.open_nursery() as nursery:
            for index, number in enumerate(numbers):
                nursery.start_soon(one, instrument, index, number)
    return [completed[index] for index in range(len(numbers))]


async def checkpoints_of(work: Callable[[], Awaitable[None]]) -> int:
    with cancelling() as instrument:
        return await instrument.count(work)


async def test_instrument_cancels_where_it_should() -> None:
    reached = 0

    async def work() -> None:
        nonlocal reached
        reached = 0
        for _ in range(5):
            await trio.lowlevel.checkpoint()
            reached += 1

    assert await checkpoints_of(work) == 5
    with cancelling() as instrument:
        for number in range(1, 6):
            assert not await instrument.run(number, work)
            assert reached == number - 1
        assert await instrument.run(6, work)


async def test_steps_of_started_tasks_count() -> None:
    async def work() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(trio.lowlevel.checkpoint)

    assert await checkpoints_of(work) >= 2 * 3
    with cancelling() as instrument:
        assert not await instrument.run(3, work)


async def test_cancelled_connect_raises_no_group(gateway: Gateway) -> None:
    """Trio's own function connects in a nursery, and who cleans up expects a bare `Cancelled`."""
    seen: list[type[BaseException]] = []

    async def connect() -> None:
        try:
            stream = await open_stream(gateway.config, None)
            await stream.aclose()
        except BaseException as exc:
            seen.append(type(exc))
            raise

    total = await checkpoints_of(connect)
    await everywhere(connect, list(range(1, total + 1)))
    assert set(seen) == {trio.Cancelled}


async def test_destroy_in_a_cancelled_scope(scene: Scene) -> None:
    kernel = await attach_kernel(scene.client, PYTHON, token="lab-43")
    with trio.CancelScope() as scope:
        scope.cancel()
        await kernel.destroy()
    assert scope.cancelled_caught
    await scene.check()


async def test_cancelled_at_every_checkpoint(scene: Scene) -> None:
    """All in one test: they run side by side, and a destroy that finds nothing is patient."""

    async def create() -> None:
        async with open_kernel(scene.client, PYTHON):
            pass

    async def use() -> None:
        async with open_kernel(scene.client, PYTHON) as kernel:
            assert await say(kernel, "hello") == "hello\n"

    async def hold() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                await nursery.start(run_kernel, scene.client, PYTHON)
            nursery.cancel_scope.cancel()

    async def every(work: Callable[[], Awaitable[None]], total: int) -> None:
        # A cold connection has more checkpoints than a warm one: go on well beyond the count.
        completed = await everywhere(work, list(range(1, total + 15)))
        assert not completed[0]
        assert completed[-1]

    totals = {work: await checkpoints_of(work) for work in (create, use, hold)}
    assert min(totals.values()) > 2
    async with trio.open_nursery() as nursery:
        for work, total in totals.items():
            nursery.start_soon(every, work, total)
    await scene.check()


async def test_endless_run_cancelled_at_every_checkpoint(scene: Scene) -> None:
    """Here a cancel is the only way out, so the kernel must have stopped its code as well."""

    async def use(kernel: TrioKernel) -> None:
        async with kernel.execute("print('up')\nwhile True: pass") as execution:
            async for event in execution:
                if event == Stdout("up\n"):
                    return

    async def some(instrument: CancelAt, numbers: range) -> None:
        async with open_kernel(scene.client, PYTHON) as kernel:
            await say(kernel, "warm")
            for number in numbers:
                await instrument.run(number, partial(use, kernel))
            assert await say(kernel, "still there") == "still there\n"

    async with open_kernel(scene.client, PYTHON) as kernel:
        await say(kernel, "warm")
        total = await checkpoints_of(partial(use, kernel))
    with cancelling() as instrument:
        async with trio.open_nursery() as nursery:
            for start in range(1, 9):
                nursery.start_soon(some, instrument, range(start, total + 10, 8))
    await scene.check()


async def test_hundred_cancels_at_random_points(scene: Scene) -> None:
    async def use() -> None:
        async with open_kernel(scene.client, PYTHON) as kernel:
            await kernel.info()
            await say(kernel, "hello")

    total = await checkpoints_of(use)
    pick = random.Random(2017)
    completed = await everywhere(use, [pick.randint(1, total) for _ in range(100)])
    assert False in completed
    await scene.check()


async def test_cancels_after_some_time(scene: Scene) -> None:
    """Between two checkpoints the server goes on, so that these hit other moments of its work."""
    pick = random.Random(2017)

    async def one(seconds: float) -> None:
        with trio.move_on_after(seconds):
            async with open_kernel(scene.client, PYTHON) as kernel:
                await say(kernel, "hello")

    async with trio.open_nursery() as nursery:
        for _ in range(40):
            nursery.start_soon(one, pick.uniform(0, 0.4))
    await scene.check()


# --- a destroy that overtakes its create ---------------------------------------------------------


async def test_destroy_overtakes_create(scene: Scene) -> None:
    tokens: list[str] = []

    async def after(seconds: float) -> None:
        token = f"cancelled-after-{seconds}"
        with trio.move_on_after(seconds) as scope:
            async with open_kernel(scene.client, PYTHON, token=token):
                # Late cancels come here.
                await trio.sleep_forever()
        assert scope.cancelled_caught
        tokens.append(token)
        assert token not in scene.gateway.tokens()

    async def create() -> None:
        async with open_kernel(scene.client, PYTHON):
            pass

    total = await checkpoints_of(create)
    scene.gateway.faults.create_delay_seconds = 0.3
    times = [0.0, 0.01, 0.05, 0.1, 0.2, 0.28, 0.29, 0.3, 0.31, 0.32, 0.35, 0.4, 0.5, 0.7]
    async with trio.open_nursery() as nursery:
        for seconds in times:
            nursery.start_soon(after, seconds)
        nursery.start_soon(everywhere, create, list(range(1, total + 1)))
    assert len(tokens) == len(times)
    scene.gateway.faults.create_delay_seconds = 0.0
    await scene.check()


# --- a server that is gone -----------------------------------------------------------------------


@dataclass
class SilentServer:
    """Says hello, takes every other request, and never answers one."""

    config: Config
    created: trio.Event
    """A create has arrived."""
    destroyed: trio.Event
    """A destroy has arrived."""

    async def serve(self, stream: trio.SocketStream) -> None:
        data = b""
        while chunk := await stream.receive_some(65536):
            data += chunk
            if b"\r\n\r\n" not in data:
                continue
            if data.startswith(b"GET / "):
                body = Hello(SESSION_6.version).encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                await stream.send_all(head + body)
                data = b""
            elif data.startswith(b"POST /session "):
                self.created.set()
            elif re.match(rb"DELETE /session/\S+ ", data):
                self.destroyed.set()


async def open_silent_server(nursery: trio.Nursery, config: Config) -> SilentServer:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    endpoint = parse_endpoint(f"http://127.0.0.1:{port}")
    config = replaced(config, endpoint=endpoint, grace_seconds=0.2)
    server = SilentServer(config, trio.Event(), trio.Event())
    nursery.start_soon(trio.serve_listeners, server.serve, listeners)
    return server


KEYS = Config(parse_endpoint("http://127.0.0.1:1"), "AKIA" + "X" * 16, "s" * 40)


async def test_kernel_that_may_be_left_behind_is_named() -> None:
    async with trio.open_nursery() as nursery:
        server = await open_silent_server(nursery, KEYS)
        async with open_client(server.config) as client:
            scope = trio.CancelScope()

            async def cancel() -> None:
                await server.created.wait()
                scope.cancel()

            nursery.start_soon(cancel)
            with pytest.warns(KernelLeftBehindWarning, match="lab-42") as warned, scope:
                async with open_kernel(client, PYTHON, token="lab-42"):
                    pytest.fail("nobody answered")
            assert scope.cancelled_caught
            # It did try.
            assert server.destroyed.is_set()
            assert server.config.endpoint.url in str(warned[0].message)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def frail(gateway: Gateway) -> AsyncIterator[tuple[Proxy, Client]]:
    """A client whose way to the gateway can be closed."""
    async with trio.open_nursery() as nursery:
        proxy = Proxy(nursery, gateway.config.endpoint.port, random.Random(2017))
        await proxy.listen()
        endpoint = gateway.config.endpoint._replace(port=proxy.port)
        async with open_client(replaced(gateway.config, endpoint=endpoint)) as client:
            yield proxy, client
        nursery.cancel_scope.cancel()


async def close(proxy: Proxy) -> None:
    """From now on nobody listens there."""
    proxy.go_down()
    await trio.testing.wait_all_tasks_blocked()


async def test_users_error_is_not_lost_when_the_server_is_gone(scene: Scene) -> None:
    async with frail(scene.gateway) as (proxy, client):
        error = ValueError("of the user")
        with (
            pytest.warns(KernelLeftBehindWarning, match="cannot connect") as warned,
            pytest.raises(ValueError, match="of the user") as caught,
        ):
            async with open_kernel(client, PYTHON) as kernel:
                await close(proxy)
                raise error
        assert caught.value is error
        assert kernel.token in str(warned[0].message)
        assert scene.gateway.tokens() == [kernel.token]
        await proxy.listen()
        assert await kernel.destroy() is not None
    await scene.check()


async def test_server_that_goes_before_the_end_of_the_block(scene: Scene) -> None:
    async with frail(scene.gateway) as (proxy, client):
        with pytest.warns(KernelLeftBehindWarning, match="cannot connect"):
            async with open_kernel(client, PYTHON) as kernel:
                await close(proxy)
        await proxy.listen()
        await kernel.destroy()
    await scene.check()
