"""Work that must be finished in spite of a cancellation, within a time limit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import trio

__all__ = ["finish_within"]

_deadline: ContextVar[float] = ContextVar("_deadline", default=math.inf)
"""When the innermost `finish_within` around this task ends, on Trio's clock."""


@contextmanager
def finish_within(seconds: float) -> Iterator[trio.CancelScope]:
    """Shield a block from cancellations, for a limited time.

    A shield hides the deadlines of the blocks around it. So within another `finish_within` a block
    ends with that one at the latest: what the outermost block allows is the limit for all of them.
    Deadlines of other cancel scopes are hidden, as is the purpose.

    Args:
        seconds: the time limit.

    Yields:
        The cancel scope of the block.
    """
    deadline = min(trio.current_time() + seconds, _deadline.get())
    outer = _deadline.set(deadline)
    try:
        with trio.CancelScope(deadline=deadline, shield=True) as scope:
            yield scope
    finally:
        _deadline.reset(outer)
