"""Objects that live in the Trio thread, for callers in other threads."""

from __future__ import annotations

from bisect import insort
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from operator import itemgetter
from typing import Generic, TypeVar

import trio

from ..errors import PortalError

__all__ = ["ReplayableIterator", "Resource"]

T = TypeVar("T")


class Resource(Generic[T]):
    """An object that lives in a block of the Trio thread, for callers that have no such block.

    Calls on it run inside that block: they end with the object, not beside it.

    Args:
        manager: the block.
        close_seconds: how long `close` waits for the end of the block.

    Attributes:
        value: the object.
        calls: nursery of the calls on it; None when it was closed, or has broken.
        error: what ended the block, if nobody closed it.
        failure: the error of the last call on it that has failed.
    """

    value: T

    def __init__(self, manager: AbstractAsyncContextManager[T], *, close_seconds: float) -> None:
        self.calls: trio.Nursery | None = None
        self.error: BaseException | None = None
        self.failure: BaseException | None = None
        self._manager = manager
        self._close_seconds = close_seconds
        self._release = trio.Event()
        self._ended = trio.Event()

    @property
    def closing(self) -> bool:
        """Whether it was asked to close; False for one that has broken."""
        return self._release.is_set()

    async def live(self, *, task_status: trio.TaskStatus[None]) -> None:
        """The object's life, as a task."""
        opened = False
        try:
            async with self._manager as self.value, trio.open_nursery() as nursery:
                self.calls, opened = nursery, True
                task_status.started()
                try:
                    await self._release.wait()
                finally:
                    self.calls = None
                nursery.cancel_scope.cancel()
        except Exception as exc:
            if not opened:
                raise
            self.error = exc
        finally:
            self._ended.set()

    async def close(self) -> None:
        """Leave the block, and return when it was left; may be repeated.

        Raises:
            Exception: what the block raised, once.
            PortalError: the block goes on longer than it should.
        """
        self._release.set()
        # The end of each `open_*` is bounded by itself, by the grace time. This is a backstop.
        with trio.move_on_after(self._close_seconds, shield=True) as scope:
            await self._ended.wait()
        if scope.cancelled_caught:
            raise PortalError(
                f"{self.value!r} was asked to close, and is still open after "
                f"{self._close_seconds:g} s"
            )
        if self.error is not None:
            error, self.error = self.error, None
            raise error


class ReplayableIterator(Generic[T]):
    """Gives each item of a source to one of several callers, also when callers are interrupted.

    An item may have left the source just when its caller gave up. It is put back then, and given
    to the next caller, before all items that came after it.

    Args:
        fetch: the next item of the source; loses none when it is cancelled.
    """

    def __init__(self, fetch: Callable[[], Awaitable[T]]) -> None:
        self._fetch = fetch
        self._count = 0
        self._returned: list[tuple[int, T]] = []
        self._turn = trio.Lock()
        self._fetching = trio.CancelScope()

    async def take(self) -> tuple[int, T]:
        """The next item, with its number."""
        async with self._turn:
            while not self._returned:
                # What is put back meanwhile ends the wait: the source may have no more until the
                # caller has seen it (a question of the program, say).
                with trio.CancelScope() as self._fetching:
                    item = await self._fetch()
                    self._count += 1
                    return self._count, item
            return self._returned.pop(0)

    async def put_back(self, taken: tuple[int, T]) -> None:
        """Return what `take` gave to a caller that could not receive it."""
        insort(self._returned, taken, key=itemgetter(0))
        self._fetching.cancel()
        await trio.lowlevel.checkpoint()
