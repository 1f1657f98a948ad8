"""The buffer between a program and a client that may come back, against a simple model."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backendai_trio.gateway.kernels.output_buffer import ReplayBuffer

CAPACITY = 32


class Model(RuleBasedStateMachine):
    """All that was ever written, one entry a position."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = ReplayBuffer(CAPACITY)
        self.all: list[tuple[str, int]] = []
        self.marks = 0

    @precondition(lambda self: self.buffer.discarding or not self.buffer.full)
    @rule(kind=st.sampled_from(["stdout", "stderr"]), data=st.binary(max_size=20))
    def write(self, kind: str, data: bytes) -> None:
        async def write() -> None:
            # A write that fills the buffer waits behind what it has written.
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.buffer.write, kind, data)
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()

        trio.run(write)
        self.all += [(kind, byte) for byte in data]

    @rule()
    def mark(self) -> None:
        self.buffer.write_mark({"number": self.marks})
        self.all.append(("", self.marks))
        self.marks += 1

    @rule(back=st.integers(0, 60))
    def release(self, back: int) -> None:
        before = self.buffer.start
        position = self.buffer.end - back
        self.buffer.release(position)
        assert self.buffer.start == max(before, position)

    @rule()
    def release_too_much(self) -> None:
        self.buffer.release(self.buffer.end + 1000)
        assert self.buffer.start == self.buffer.end

    @rule(dropping=st.booleans())
    def drop_or_keep(self, dropping: bool) -> None:
        if dropping:
            self.buffer.start_discarding()
        else:
            self.buffer.stop_discarding()

    @rule(back=st.integers(0, 60), limit=st.integers(1, 30))
    def read(self, back: int, limit: int) -> None:
        position = max(self.buffer.end - back, 0)
        chunk = self.buffer.read(position, limit)
        start = max(position, self.buffer.start)
        if start == self.buffer.end:
            assert chunk is None
            return
        assert chunk is not None
        kind, value = self.all[start]
        assert chunk.kind == kind
        if kind == "":
            assert (chunk.mark, chunk.end) == ({"number": value}, start + 1)
            return
        assert chunk.mark is None and 1 <= len(chunk.data) <= limit
        assert chunk.end == start + len(chunk.data)
        assert [(kind, byte) for byte in chunk.data] == self.all[start : chunk.end]

    @invariant()
    def positions_and_bounds_hold(self) -> None:
        buffer = self.buffer
        assert buffer.end == len(self.all)
        assert 0 <= buffer.start <= buffer.end
        assert buffer.full == (buffer.end - buffer.start >= CAPACITY)
        held = self.all[buffer.start :]
        assert buffer.marks == sum(kind == "" for kind, _ in held)


@pytest.fixture
def model() -> type[Model]:
    """The machine, with few enough runs."""
    return Model


def test_buffer_against_the_model(model: type[Model]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        model, settings=settings(deadline=None, max_examples=60, stateful_step_count=30)
    )


async def test_writer_waits_while_it_is_full() -> None:
    buffer = ReplayBuffer(CAPACITY)
    done = trio.Event()

    async def write() -> None:
        await buffer.write("stdout", b"x" * CAPACITY)
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        assert buffer.full and not done.is_set()
        buffer.release(0)
        await trio.testing.wait_all_tasks_blocked()
        assert not done.is_set()
        buffer.release(1)
        with trio.fail_after(5):
            await done.wait()


async def test_dropping_frees_the_writer_and_keeps_the_newest() -> None:
    buffer = ReplayBuffer(CAPACITY)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(buffer.write, "stdout", b"x" * CAPACITY)
        await trio.testing.wait_all_tasks_blocked()
        buffer.start_discarding()
    for number in range(100):
        await buffer.write("stdout", bytes([number]))
    # Small writes are discarded for large ones, too.
    await buffer.write("stderr", b"y" * (CAPACITY - 2))
    assert buffer.end - buffer.start < CAPACITY
    chunk = buffer.read(buffer.end - 1, 10)
    assert chunk is not None and (chunk.kind, chunk.data) == ("stderr", b"y")


async def test_waiting_reader_is_not_misled_by_another_that_releases() -> None:
    buffer = ReplayBuffer(CAPACITY)
    await buffer.write("stdout", b"abc")
    woken = trio.Event()

    async def wait() -> None:
        await buffer.wait_beyond(3)
        woken.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        buffer.release(3)
        buffer.wake()
        await trio.testing.wait_all_tasks_blocked()
        assert not woken.is_set()
        await buffer.write("stdout", b"d")
        with trio.fail_after(5):
            await woken.wait()
    chunk = buffer.read(0, 10)
    assert chunk is not None and (chunk.data, chunk.end) == (b"d", 4)
