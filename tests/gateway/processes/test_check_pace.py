"""However many programs a gateway watches, looking at them leaves it time for the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.gateway.processes.check_pace import MOST_SECONDS, SHARE, CheckPace
from backendai_trio.gateway.processes.input_watch import InputWatch
from backendai_trio.gateway.processes.stdin_pipe import StdinPipe


@contextmanager
def pace_with(count: int) -> Iterator[CheckPace]:
    """The pace of so many programs."""
    pace = CheckPace()
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(pace.watching())
        yield pace
    assert pace.pause(0.002, 1.0) == 0.002


@given(
    st.integers(1, 1000),
    st.floats(1e-6, 1e-2),
    st.floats(0.002, 0.1),
)
def test_checks_take_their_share_at_most(count: int, cost: float, seconds: float) -> None:
    with pace_with(count) as pace:
        pause = pace.pause(seconds, cost)
    assert pause >= seconds
    taken = count * cost / pause
    assert taken <= SHARE * 1.000001 or pause >= MOST_SECONDS


def test_few_programs_are_not_slowed_down() -> None:
    with pace_with(3) as pace:
        assert pace.pause(0.002, 50e-6) == 0.002


def test_the_first_check_of_a_program_is_expected_to_cost_what_others_have() -> None:
    with pace_with(1000) as pace:
        assert pace.pause(0.002) == 0.002
        pace.note(50e-6)
        assert pace.pause(0.002) == pytest.approx(0.5)
        assert pace.pause(0.002, 100e-6) == pytest.approx(1.0)


class CountedPipe(StdinPipe):
    """Counts how often it was looked at."""

    checks = 0

    def is_awaited_by(self, pid: int) -> bool:
        type(self).checks += 1
        return super().is_awaited_by(pid)


async def test_a_thousand_programs_that_compute(autojump_clock: trio.testing.MockClock) -> None:
    """Each is looked at as often as there is time for, by its real cost."""
    seconds = 2.0

    async def sink(_name: object, _data: bytes) -> None:  # noqa: ASYNC124
        raise AssertionError("nothing was written")

    async def ask(_is_password: bool) -> bytes | None:  # noqa: ASYNC124
        raise AssertionError("this process does not wait for input")

    async def drain(_sink: object) -> None:  # noqa: ASYNC124
        raise AssertionError("nothing waits")

    with CountedPipe.open() as pipe:
        async with trio.open_nursery() as nursery:
            for _ in range(1000):
                watch = InputWatch(pipe, os.getpid(), drain)
                nursery.start_soon(watch.run, sink, ask)
            await trio.sleep(seconds)
            nursery.cancel_scope.cancel()
    # 50,000 checks, without a pace.
    assert CountedPipe.checks < 25_000
