"""The buffer between a program and a client that may come back, against a simple model."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backendai_trio.gateway.kernels import output_buffer as module
from backendai_trio.gateway.kernels.output_buffer import Ring

LIMIT = 32


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT_BYTES", LIMIT)


class Model(RuleBasedStateMachine):
    """All that was ever written, one entry a position."""

    def __init__(self) -> None:
        super().__init__()
        self.ring = Ring()
        self.all: list[tuple[str, int]] = []
        self.marks = 0

    @precondition(lambda self: self.ring.dropping or not self.ring.full)
    @rule(kind=st.sampled_from(["stdout", "stderr"]), data=st.binary(max_size=20))
    def write(self, kind: str, data: bytes) -> None:
        async def write() -> None:
            # A write that fills the buffer waits behind what it has written.
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.ring.write, kind, data)
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()

        trio.run(write)
        self.all += [(kind, byte) for byte in data]

    @rule()
    def mark(self) -> None:
        self.ring.mark({"number": self.marks})
        self.all.append(("", self.marks))
        self.marks += 1

    @rule(back=st.integers(0, 60))
    def release(self, back: int) -> None:
        before = self.ring.start
        position = self.ring.end - back
        self.ring.release(position)
        assert self.ring.start == max(before, position)

    @rule()
    def release_too_much(self) -> None:
        self.ring.release(self.ring.end + 1000)
        assert self.ring.start == self.ring.end

    @rule(dropping=st.booleans())
    def drop_or_keep(self, dropping: bool) -> None:
        if dropping:
            self.ring.drop()
        else:
            self.ring.keep()

    @rule(back=st.integers(0, 60), limit=st.integers(1, 30))
    def read(self, back: int, limit: int) -> None:
        position = max(self.ring.end - back, 0)
        piece = self.ring.read(position, limit)
        start = max(position, self.ring.start)
        if start == self.ring.end:
            assert piece is None
            return
        assert piece is not None
        kind, value = self.all[start]
        assert piece.kind == kind
        if kind == "":
            assert (piece.mark, piece.end) == ({"number": value}, start + 1)
            return
        assert piece.mark is None and 1 <= len(piece.data) <= limit
        assert piece.end == start + len(piece.data)
        assert [(kind, byte) for byte in piece.data] == self.all[start : piece.end]

    @invariant()
    def positions_and_bounds_hold(self) -> None:
        ring = self.ring
        assert ring.end == len(self.all)
        assert 0 <= ring.start <= ring.end
        assert ring.full == (ring.end - ring.start >= LIMIT)
        held = self.all[ring.start :]
        assert ring.marks == sum(kind == "" for kind, _ in held)


@pytest.fixture
def model() -> type[Model]:
    """The machine, with few enough runs."""
    return Model


def test_ring_against_the_model(model: type[Model]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        model, settings=settings(deadline=None, max_examples=60, stateful_step_count=30)
    )


async def test_writer_waits_while_it_is_full() -> None:
    ring = Ring()
    done = trio.Event()

    async def write() -> None:
        await ring.write("stdout", b"x" * LIMIT)
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        assert ring.full and not done.is_set()
        ring.release(0)
        await trio.testing.wait_all_tasks_blocked()
        assert not done.is_set()
        ring.release(1)
        with trio.fail_after(5):
            await done.wait()


async def test_dropping_frees_the_writer_and_keeps_the_newest() -> None:
    ring = Ring()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ring.write, "stdout", b"x" * LIMIT)
        await trio.testing.wait_all_tasks_blocked()
        ring.drop()
    for number in range(100):
        await ring.write("stdout", bytes([number]))
    # Small pieces give way to large ones, too.
    await ring.write("stderr", b"y" * (LIMIT - 2))
    assert ring.end - ring.start < LIMIT
    piece = ring.read(ring.end - 1, 10)
    assert piece is not None and (piece.kind, piece.data) == ("stderr", b"y")


async def test_waiting_reader_is_not_misled_by_another_that_releases() -> None:
    ring = Ring()
    await ring.write("stdout", b"abc")
    woken = trio.Event()

    async def wait() -> None:
        await ring.wait_beyond(3)
        woken.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        ring.release(3)
        ring.wake()
        await trio.testing.wait_all_tasks_blocked()
        assert not woken.is_set()
        await ring.write("stdout", b"d")
        with trio.fail_after(5):
            await woken.wait()
    piece = ring.read(0, 10)
    assert piece is not None and (piece.data, piece.end) == (b"d", 4)
