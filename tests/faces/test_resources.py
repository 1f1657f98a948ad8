"""Objects that live in the Trio thread: their blocks, and the calls on them."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from backendai_trio.errors import PortalError
from backendai_trio.faces import calls, waiting
from backendai_trio.faces.portal import running_portal

from .sources import Source, in_trio, opened


def test_closing_waits_no_longer_than_it_is_told() -> None:
    source = Source()
    source.may_end = trio.Event()
    stream = opened(source, close_seconds=0.01)
    with pytest.raises(PortalError, match=r"still open after 0\.01 s"):
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
    with pytest.raises(trio.BrokenResourceError):
        call.result()

    async def ended() -> None:
        await resource._ended.wait()

    in_trio(ended)
    with pytest.raises(trio.BrokenResourceError) as caught:
        waiting.wait(calls.Call(trio.lowlevel.checkpoint, resource=resource))
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert caught.value.__cause__.exceptions == (error,)
    with pytest.raises(ValueError, match="of the block"):
        waiting.wait(calls.Call(resource.close))
    with pytest.raises(trio.ClosedResourceError):
        waiting.wait(calls.Call(trio.lowlevel.checkpoint, resource=resource))


def test_block_that_does_not_open() -> None:
    @asynccontextmanager
    async def refusing() -> AsyncIterator[None]:
        raise ValueError("not today")
        yield

    with pytest.raises(ValueError, match="not today"):
        waiting.wait(calls.open_resource(refusing, close_seconds=60))
