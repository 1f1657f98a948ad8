"""Streams with several readers: each item goes to one, also when readers are interrupted."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import trio
import trio.testing

from backendai_trio import Kernel
from backendai_trio.asyncio import _waiting
from backendai_trio.faces import resources, waiting
from backendai_trio.testing import TestGateway

from .sources import Source, in_trio, opened


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
