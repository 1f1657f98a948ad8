"""How often a gateway looks at programs, where Linux has no event for what it looks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

__all__ = ["MOST_SECONDS", "CheckPace", "pace_of"]

SHARE = 0.1
"""Part of a core that all checks of a kind take together at most."""
MOST_SECONDS = 1.0
"""The longest pause that the share makes, however many programs are watched."""


class CheckPace:
    """Spreads the checks of many programs: without it, a few hundred programs that are looked at 25
    times a second would leave the gateway no time for anything else."""

    def __init__(self) -> None:
        self._watched = 0
        self._cost = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count one more program that is watched, for the time of the block."""
        self._watched += 1
        try:
            yield
        finally:
            self._watched -= 1

    def note(self, cost: float) -> None:
        """Note what a check has cost, in seconds of CPU time."""
        self._cost = cost

    def pause(self, seconds: float, cost: float | None = None) -> float:
        """How long to wait before the next check of a program.

        Args:
            seconds: how long to wait if this were the only one.
            cost: what the last check of this program has cost, in seconds of CPU time; None if
                there was none, for that of the last check of any.
        """
        each = self._cost if cost is None else cost
        return max(seconds, min(each * self._watched / SHARE, MOST_SECONDS))


_paces: trio.lowlevel.RunVar[dict[str, CheckPace]] = trio.lowlevel.RunVar("check paces")


def pace_of(kind: str) -> CheckPace:
    """The pace that all checks of a kind share in this run of Trio.

    Args:
        kind: what they look for.
    """
    try:
        paces = _paces.get()
    except LookupError:
        _paces.set(paces := {})
    return paces.setdefault(kind, CheckPace())
