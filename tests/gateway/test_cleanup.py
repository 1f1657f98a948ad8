"""Cleanup that blocks: it outlives a cancellation, and it does not last for ever."""

from __future__ import annotations

import threading

import pytest
import trio

from backendai_trio.gateway.cleanup import clean_up_in_thread


async def test_it_is_done_when_the_caller_was_cancelled() -> None:
    done: list[bool] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        assert await clean_up_in_thread(lambda: done.append(True))
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert done == [True]


async def test_one_that_hangs_is_left_behind() -> None:
    """As on a network file system whose server does not answer."""
    release = threading.Event()
    with trio.fail_after(20):
        assert not await clean_up_in_thread(release.wait, seconds=0.05)
    release.set()


async def test_errors_are_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await clean_up_in_thread(lambda: 1 // 0)
