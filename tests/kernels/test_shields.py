"""Work that is finished in spite of a cancellation: how long it may take."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from backendai_trio.kernels.shields import finish_within


async def test_work_is_finished_in_spite_of_a_cancellation(autojump_clock: MockClock) -> None:
    done = False
    with trio.move_on_after(1) as scope:
        with finish_within(10) as within:
            await trio.sleep(5)
            done = True
        await trio.sleep_forever()
    assert done and scope.cancelled_caught and not within.cancelled_caught


@pytest.mark.parametrize(("inner", "end"), [(10, 10), (1, 9)])
async def test_inner_work_ends_with_the_outer_at_the_latest(
    autojump_clock: MockClock, inner: float, end: float
) -> None:
    began = trio.current_time()
    with finish_within(10):
        await trio.sleep(8)
        with finish_within(inner) as within:
            await trio.sleep_forever()
        assert within.cancelled_caught
        assert trio.current_time() == began + end


async def test_inner_work_of_other_tasks_ends_with_the_outer(autojump_clock: MockClock) -> None:
    began = trio.current_time()

    async def work() -> None:
        with finish_within(10):
            await trio.sleep_forever()

    with finish_within(3):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            nursery.start_soon(work)
    assert trio.current_time() == began + 3


async def test_outer_work_is_forgotten_at_its_end(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    with pytest.raises(KeyError), finish_within(1):
        raise KeyError
    with finish_within(5):
        await trio.sleep_forever()
    assert trio.current_time() == began + 5
