"""A guard of a stream's calls: one task at a time."""

from __future__ import annotations

from types import TracebackType

import trio

__all__ = ["OneAtATime"]


class OneAtATime:
    """Raises `trio.BusyResourceError` in the second task that enters it.

    A class, since a generator would be slower, and each key in a terminal goes through two of them.

    Args:
        call: what the first task is doing, for the error: "sending to this terminal".
    """

    __slots__ = ("_busy", "_call")

    def __init__(self, call: str) -> None:
        self._call = call
        self._busy = False

    def __enter__(self) -> None:
        if self._busy:
            raise trio.BusyResourceError(f"another task is {self._call}")
        self._busy = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._busy = False
