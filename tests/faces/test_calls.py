"""Calls into the Trio thread: their context, their resources, and streams with several readers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from backendai_trio import Kernel, LocalProtocolError, TrioKernel, VFolder
from backendai_trio.asyncio import AsyncKernel, _waiting
from backendai_trio.errors import PortalError
from backendai_trio.faces import calls, compat, resources, waiting
from backendai_trio.faces.base import StreamFace
from backendai_trio.faces.portal import running_portal
from backendai_trio.testing import TestGateway

T = TypeVar("T")
VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")


def in_trio(work: Callable[[], Awaitable[T]]) -> T:
    return waiting.wait(calls.Call(work))


# --- context variables ---------------------------------------------------------------------------


async def read_and_change() -> str:
    await trio.lowlevel.checkpoint()
    value = VARIABLE.get()
    VARIABLE.set("changed in the call")
    return value


def test_blocking_calls_see_the_callers_context() -> None:
    token = VARIABLE.set("of the thread")
    try:
        assert in_trio(read_and_change) == "of the thread"
        assert VARIABLE.get() == "of the thread"
    finally:
        VARIABLE.reset(token)
    assert in_trio(read_and_change) == "unset"


def test_asyncio_calls_see_the_context_of_their_task() -> None:
    async def task(value: str) -> str:
        VARIABLE.set(value)
        seen = await _waiting.wait(calls.Call(read_and_change))
        assert VARIABLE.get() == value
        return seen

    async def main() -> list[str]:
        return await asyncio.gather(task("one"), task("two"))

    assert asyncio.run(main()) == ["one", "two"]


def test_clients_have_no_callers_context(served: TestGateway) -> None:
    """A client outlives the call that was the first to need it."""
    token = VARIABLE.set("of the first caller")
    try:
        waiting.wait(calls.client_call(served.config, read_in_client_tasks))
        found = waiting.wait(calls.client_call(served.config, read_in_client_tasks))
    finally:
        VARIABLE.reset(token)
    assert found == {"unset"}


async def read_in_client_tasks(_: object) -> set[str]:
    await trio.lowlevel.checkpoint()
    root = trio.lowlevel.current_root_task()
    assert root is not None
    tasks, found = [root], set()
    while tasks:
        task = tasks.pop()
        tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        if task.name.endswith("._keep_client"):
            found.add(task.context.get(VARIABLE, "unset"))
    return found


# --- resources -----------------------------------------------------------------------------------


class Source:
    """Items that a test sends, for a stream."""

    def __init__(self) -> None:
        self.sender, self.receiver = trio.open_memory_channel[int](100)
        self.may_end = trio.Event()
        self.may_end.set()
        self.error: Exception | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Source]:
        yield self
        with trio.CancelScope(shield=True):
            await self.may_end.wait()
        if self.error is not None:
            raise self.error

    async def fetch(self) -> int:
        try:
            return await self.receiver.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    def send(self, *items: int) -> None:
        """Send from another thread than Trio's."""

        async def send() -> None:
            for item in items:
                await self.sender.send(item)

        in_trio(send)

    def end(self) -> None:
        in_trio(self.sender.aclose)


def opened(source: Source, close_seconds: float = 60) -> StreamFace[Source, int]:
    resource = waiting.wait(calls.open_resource(source.opened, close_seconds=close_seconds))
    return StreamFace(resource, source.fetch)


def test_closing_waits_no_longer_than_it_is_told() -> None:
    source = Source()
    source.may_end = trio.Event()
    stream = opened(source, close_seconds=0.01)
    with pytest.raises(PortalError, match=r"goes on after 0\.01 s"):
        waiting.wait(stream._close())
    running_portal().post(source.may_end.set)


def test_error_of_the_block_is_raised_once() -> None:
    source = Source()
    source.error = ValueError("of the block")
    stream = opened(source)
    with pytest.raises(ValueError, match="of the block"):
        waiting.wait(stream._close())
    waiting.wait(stream._close())
    assert stream.closed


def test_block_that_breaks_ends_the_calls_on_it() -> None:
    error = ValueError("of the block")

    @asynccontextmanager
    async def breaking() -> AsyncIterator[trio.Event]:
        broken = trio.Event()

        async def breaks() -> None:
            await broken.wait()
            raise error

        async with trio.open_nursery() as nursery:
            nursery.start_soon(breaks)
            yield broken

    resource = waiting.wait(calls.open_resource(breaking, close_seconds=60))
    call = calls.Call(trio.sleep_forever, resource=resource)
    over = threading.Event()
    call.submit(over.set)
    running_portal().post(resource.value.set)
    over.wait()
    with pytest.raises(trio.ClosedResourceError):
        call.result()

    async def ended() -> None:
        await resource._ended.wait()

    in_trio(ended)
    with pytest.raises(trio.ClosedResourceError) as caught:
        waiting.wait(calls.Call(trio.lowlevel.checkpoint, resource=resource))
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert caught.value.__cause__.exceptions == (error,)


def test_block_that_does_not_open() -> None:
    @asynccontextmanager
    async def refusing() -> AsyncIterator[None]:
        raise ValueError("not today")
        yield

    with pytest.raises(ValueError, match="not today"):
        waiting.wait(calls.open_resource(refusing, close_seconds=60))


def test_undoing_that_fails_is_no_error_of_the_caller() -> None:
    async def make() -> int:
        await trio.lowlevel.checkpoint()
        return 1

    async def undo(_: int) -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("cannot be undone")

    call = calls.Call(make, undo=undo)
    assert waiting.wait(call) == 1
    waiting._join(call)
    assert in_trio(make) == 1


# --- streams with several readers ----------------------------------------------------------------


async def test_each_item_goes_to_one_reader() -> None:
    source, taken = Source(), list[int]()
    items = resources.ReplayableIterator(source.fetch)

    async def read() -> None:
        try:
            while True:
                taken.append((await items.take())[1])
        except StopAsyncIteration:
            pass

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(read)
        for number in range(1000):
            await source.sender.send(number)
        await source.sender.aclose()
    assert taken == list(range(1000))


async def test_items_that_were_put_back_come_first_and_in_order() -> None:
    source = Source()
    items = resources.ReplayableIterator(source.fetch)
    for number in range(4):
        await source.sender.send(number)
    taken = [await items.take() for _ in range(3)]
    for item in (taken[1], taken[2], taken[0]):
        await items.put_back(item)
    assert [(await items.take())[1] for _ in range(4)] == [0, 1, 2, 3]


async def test_item_that_is_put_back_goes_to_a_reader_that_waits() -> None:
    """The source may have nothing more to give until this item was seen: a question, say."""
    source, taken = Source(), list[tuple[int, int]]()
    items = resources.ReplayableIterator(source.fetch)
    await source.sender.send(7)
    question = await items.take()

    async def read() -> None:
        taken.append(await items.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        await items.put_back(question)
    assert taken == [question]


def test_call_that_is_interrupted_with_an_item_leaves_it_to_the_next() -> None:
    """At each point: before it has the item, while it waits for it, and when it has it."""
    source = Source()
    stream = opened(source)
    never = stream._next()
    waiting._join(never)
    asleep = stream._next()
    asleep.submit(lambda: None)
    in_trio(trio.testing.wait_all_tasks_blocked)
    waiting._join(asleep)
    source.send(1, 2)
    received, over = stream._next(), threading.Event()
    received.submit(over.set)
    over.wait()
    waiting._join(received)
    assert [waiting.wait(stream._next())[1] for _ in range(2)] == [1, 2]
    waiting.wait(stream._close())


def test_threads_that_share_a_stream() -> None:
    source, taken = Source(), list[int]()
    stream = opened(source)

    def read() -> None:
        try:
            while True:
                taken.append(waiting.wait(stream._next())[1])
        except StopAsyncIteration:
            pass

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    source.send(*range(100))
    source.end()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(100))
    waiting.wait(stream._close())


def test_task_cancelled_when_its_item_has_arrived() -> None:
    """The loop stands still meanwhile, so that the task cannot have received it."""
    source = Source()
    stream = opened(source)

    async def read() -> int:
        return (await _waiting.wait(stream._next()))[1]

    async def main() -> None:
        for number in range(20):
            first, second = asyncio.ensure_future(read()), asyncio.ensure_future(read())
            await asyncio.sleep(0)  # both have asked
            source.send(number)
            in_trio(trio.testing.wait_all_tasks_blocked)  # one of them has been given it
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert await second == number

    asyncio.run(main())
    waiting.wait(stream._close())


def test_task_thrown_away_with_its_loop_leaves_its_item() -> None:
    source = Source()
    stream = opened(source)

    async def read() -> int:
        return (await _waiting.wait(stream._next()))[1]

    loop = asyncio.new_event_loop()
    coroutine = read()

    async def start() -> None:  # noqa: ASYNC124
        coroutine.send(None)

    loop.run_until_complete(start())
    loop.close()
    source.send(1)
    coroutine.close()
    assert waiting.wait(stream._next())[1] == 1
    waiting.wait(stream._close())


COUNT = "for i in range(200): print(i, flush=True)"


def test_threads_that_share_a_run(served: TestGateway) -> None:
    texts: list[str] = []

    def read(run: Any) -> None:
        for event in run:
            texts.extend(getattr(event, "text", "").split())

    kernel = Kernel.get_or_create("python", config=served.config)
    with kernel, kernel.stream_execute(COUNT) as run:
        threads = [threading.Thread(target=read, args=(run,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(texts, key=int) == [str(number) for number in range(200)]


# --- kernels as context managers -----------------------------------------------------------------


def test_block_ends_only_a_kernel_that_it_created(served: TestGateway) -> None:
    config = served.config
    with Kernel.get_or_create("python", client_token="shared", config=config) as kernel:
        assert kernel.created
        for other in (
            Kernel.get_or_create("python", client_token="shared", config=config),
            Kernel.find("shared", config=config),
        ):
            with other:
                assert not other.created
            assert served.tokens() == ["shared"]
    assert served.tokens() == []


def test_async_block_ends_only_a_kernel_that_it_created(served: TestGateway) -> None:
    async def main() -> None:
        config = served.config
        kernel = await AsyncKernel.get_or_create("python", "shared", config=config)
        async with kernel:
            for other in (
                await AsyncKernel.get_or_create("python", "shared", config=config),
                await AsyncKernel.find("shared", config=config),
            ):
                async with other:
                    assert not other.created
                assert served.tokens() == ["shared"]
        assert served.tokens() == []

    asyncio.run(main())


@pytest.mark.parametrize("token", ["shared", None])
def test_interrupted_call_takes_back_a_kernel_that_it_created(
    served: TestGateway, token: str | None
) -> None:
    def get_or_create() -> calls.Call[TrioKernel]:
        make = partial(compat.get_or_create, lang="python", client_token=token)
        return calls.client_call(served.config, make, undo=compat.discard)

    interrupted = get_or_create()
    assert waiting.wait(interrupted).created
    waiting._join(interrupted)
    assert served.tokens() == []


def test_interrupted_call_leaves_a_kernel_that_it_joined(served: TestGateway) -> None:
    with Kernel.get_or_create("python", client_token="shared", config=served.config):
        make = partial(compat.get_or_create, lang="python", client_token="shared")
        interrupted = calls.client_call(served.config, make, undo=compat.discard)
        assert not waiting.wait(interrupted).created
        waiting._join(interrupted)
        assert served.tokens() == ["shared"]


def test_joined_kernel_is_destroyed_when_asked(served: TestGateway) -> None:
    Kernel.get_or_create("python", client_token="shared", config=served.config)
    with Kernel.find("shared", config=served.config) as kernel:
        kernel.destroy()
    assert served.tokens() == []


def test_names_of_objects(served: TestGateway) -> None:
    with Kernel.get_or_create("python", config=served.config) as kernel:
        assert repr(kernel) == f"<Kernel {kernel.token} at {served.config.endpoint.url}>"
        with kernel.stream_execute("print(1)", run_id="run-1") as run:
            assert run.run_id == "run-1"
    folder = VFolder.create("data", config=served.config)
    assert repr(folder) == f"<VFolder data at {served.config.endpoint.url}>"
    folder.delete()


def test_typing_into_a_blocking_terminal(served: TestGateway) -> None:
    output = b""
    with Kernel.get_or_create("python", config=served.config) as kernel:
        pty = kernel.stream_pty()
        pty.resize(30, 100)
        pty.send_str("echo in-order-$((6*7))\n")
        pty.write(b"exit\n")
        for data in pty:
            output += data
        with pytest.raises(LocalProtocolError, match="0 rows") as caught:
            pty.resize(0, 0)
        assert pty.exception() is caught.value
        pty.close()
        pty.close()
    assert b"in-order-42" in output
