"""Cancelling work at a checkpoint that is given by its number."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import trio

__all__ = ["CancelAt", "Steps", "cancelling"]


class Steps:
    """The steps of a block: those of its task, and of tasks that the block has started."""

    def __init__(self, number: int, scope: trio.CancelScope) -> None:
        self.number = number
        """The step after which `scope` is cancelled; 0 for none."""
        self.scope = scope
        self.count = 0

    def add(self) -> None:
        self.count += 1
        if self.count == self.number:
            self.scope.cancel()


class CancelAt(trio.abc.Instrument):
    """Cancels blocks at a checkpoint of theirs, given by its number. Made by `cancelling`."""

    def __init__(self) -> None:
        self._blocks: dict[trio.lowlevel.Task, Steps] = {}

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        relative: trio.lowlevel.Task | None = task
        while relative is not None:
            if relative in self._blocks:
                self._blocks[relative].add()
                return
            nursery = relative.parent_nursery
            relative = None if nursery is None else nursery.parent_task

    @contextmanager
    def block(self, number: int) -> Iterator[Steps]:
        """Cancel the block after this many steps; with 0, only count them."""
        task = trio.lowlevel.current_task()
        with trio.CancelScope() as scope:  # noqa: ASYNC100 (the block's body is the caller's)
            steps = self._blocks[task] = Steps(number, scope)
            try:
                yield steps
            finally:
                del self._blocks[task]

    async def run(self, number: int, work: Callable[[], Awaitable[None]]) -> bool:
        """Do the work and cancel it at checkpoint `number`; says whether it completed."""
        with self.block(number):
            await work()
            return True
        return False

    async def count(self, work: Callable[[], Awaitable[None]]) -> int:
        """How many checkpoints the work has when nobody cancels it."""
        with self.block(0) as steps:
            await work()
        return steps.count


@contextmanager
def cancelling() -> Iterator[CancelAt]:
    """Have a `CancelAt` in this run of Trio until the block ends."""
    instrument = CancelAt()
    trio.lowlevel.add_instrument(instrument)
    try:
        yield instrument
    finally:
        trio.lowlevel.remove_instrument(instrument)
