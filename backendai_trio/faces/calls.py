"""Calls into the Trio thread that can be interrupted exactly.

What a call promises, on either face: when it returns because its caller was interrupted, the Trio
work under it was cancelled *and has ended*; what the work had made for that caller is undone.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from types import FrameType
from typing import Any, Generic, TypeVar

import trio

from ..config.environment import read_config
from ..config.settings import Config
from ..errors import PortalError
from ..transport.client import Client
from .portal import Crew, running_portal

__all__ = ["Delivery", "Held", "Job", "client_job", "hold", "wait"]

T = TypeVar("T")


class Job(Generic[T]):
    """Work for the Trio thread, seen from another one.

    `submit` it once; when `wake` is called, `result` tells how it went. A caller that gives up
    calls `stop` instead, and is woken when nothing of the work is left.

    Args:
        work: what to do.
        undo: takes back what the work has returned, for a caller that was interrupted meanwhile.
        held: the object that is worked on; the work ends with it.

    Raises:
        PortalError: there is no thread to do it.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[T]],
        *,
        undo: Callable[[T], Awaitable[object]] | None = None,
        held: Held[Any] | None = None,
    ) -> None:
        self._portal = running_portal()
        self._work = work
        self._undo = undo
        self._held = held
        self._scope: trio.CancelScope | None = None
        self._cancelled = False
        self._started = False
        self._over = False
        self._unwanted = False
        self._values: list[T] = []
        self._error: BaseException | None = None
        self._wake: Callable[[], None]

    def submit(self, wake: Callable[[], None]) -> None:
        """Start it.

        Args:
            wake: called in the Trio thread once it is over; must neither block nor raise.
        """
        self._wake = wake
        try:
            self._portal.post(self._start)
        except trio.RunFinishedError:
            self._fail(_ended())

    def cancel(self) -> None:
        """Cancel it. Signal-safe, and may come before `submit`."""
        try:
            self._portal.post(self._cancel)
        except trio.RunFinishedError:
            pass  # then it is over

    def stop(self, wake: Callable[[], None]) -> None:
        """Cancel it, or undo what it has done; from now on it is `wake` that is called."""
        try:
            self._portal.post(partial(self._stop, wake))
        except trio.RunFinishedError:
            wake()

    def result(self) -> T:
        """What the work has returned, or its error, the very object."""
        if self._error is not None:
            error, self._error = self._error, None
            try:
                raise error
            finally:
                del error  # its traceback leads here: leave no cycle
        return self._values[0]

    # What follows runs in the Trio thread.

    def _start(self) -> None:
        self._started = True
        if self._portal.crew is None:
            self._fail(_ended())
        elif self._held is None:
            self._portal.crew.start(self)
        elif self._held.crew is None:
            self._fail(_closed(self._held.error))
        else:
            self._held.crew.start(self)

    def _cancel(self) -> None:
        self._cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    def _stop(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._unwanted = True
        self._cancel()
        if self._over and self._values and self._undo and self._portal.crew is not None:
            self._portal.crew.nursery.start_soon(self._take_back)
        elif self._over or not self._started:
            wake()

    async def do(self, scope: trio.CancelScope) -> None:
        """For the crew."""
        self._scope = scope
        if self._cancelled:
            scope.cancel()
        try:
            self._values.append(await self._work())
        except trio.Cancelled:
            # Heard of only if its caller has not cancelled it: what it worked on was closed, or the
            # interpreter ends.
            self._error = _closed(None) if self._held else _ended()
            raise
        except StopAsyncIteration as exc:
            self._error = exc
        except BaseException as exc:  # noqa: ASYNC103 (the caller raises it)
            self._error = exc
            if self._held is not None:
                self._held.failure = exc

    async def undo(self) -> None:
        """For the crew."""
        if self._unwanted and self._values and self._undo:
            try:
                await self._undo(self._values[0])
            except Exception as exc:
                self._error = exc

    def end(self) -> None:
        """For the crew."""
        self._scope = None
        self._over = True
        self._wake()

    async def _take_back(self) -> None:
        try:
            await self.undo()
        finally:
            self._wake()

    def _fail(self, error: BaseException) -> None:
        self._error = error
        self.end()


def _ended() -> PortalError:
    return PortalError("the interpreter is ending, and calls end with it")


def _closed(cause: BaseException | None) -> trio.ClosedResourceError:
    error = trio.ClosedResourceError("it was closed")
    error.__cause__ = cause
    return error


def client_job(
    config: Config | None,
    work: Callable[[Client], Awaitable[T]],
    *,
    undo: Callable[[T], Awaitable[object]] | None = None,
) -> Job[T]:
    """A job that needs a client: of these settings, or those of the environment, or a gateway."""
    portal = running_portal()
    settings = config or read_config()

    async def run() -> T:
        return await work(await portal.client(settings))

    return Job(run, undo=undo)


# --- objects that live in the Trio thread --------------------------------------------------------


class Held(Generic[T]):
    """An object that lives in a block of the Trio thread, for callers that have no such block.

    Jobs on it run inside that block: they end with the object, not beside it.

    Attributes:
        value: the object.
        crew: who does the jobs on it; None when it was closed.
        error: what ended it, if nobody closed it.
        failure: what the last job that failed has failed with.
    """

    value: T

    def __init__(self, manager: AbstractAsyncContextManager[T]) -> None:
        self.crew: Crew | None = None
        self.error: BaseException | None = None
        self.failure: BaseException | None = None
        self._manager = manager
        self._release = trio.Event()
        self._ended = trio.Event()

    async def live(self, *, task_status: trio.TaskStatus[None]) -> None:
        """The object's life, as a task."""
        begun = False
        try:
            async with self._manager as self.value, trio.open_nursery() as nursery:
                self.crew, begun = Crew(nursery), True
                task_status.started()
                try:
                    await self._release.wait()
                finally:
                    self.crew = None
                nursery.cancel_scope.cancel()
        except Exception as exc:
            if not begun:
                raise
            self.error = exc
        finally:
            self._ended.set()

    async def end(self) -> None:
        """Leave the block, and return when it was left; may be repeated.

        Raises:
            Exception: what the block raised, once.
        """
        self._release.set()
        with trio.CancelScope(shield=True):  # the end of each `open_*` is bounded by itself
            await self._ended.wait()
        if self.error is not None:
            error, self.error = self.error, None
            raise error


def hold(open_it: Callable[[], AbstractAsyncContextManager[T]]) -> Job[Held[T]]:
    """The job of opening something that then stays open until `Held.end`."""
    portal = running_portal()

    async def enter() -> Held[T]:
        held = Held(open_it())
        if portal.crew is None:
            raise _ended()
        await portal.crew.nursery.start(held.live)
        return held

    return Job(enter, undo=Held.end)


class Delivery(Generic[T]):
    """Hands out the items of an iterator so that an interrupted caller loses none.

    An item may have left the iterator just when its caller gave up. So callers count what they
    have received, and one that asks for the same number again gets the same item.
    """

    def __init__(self, fetch: Callable[[], Awaitable[T]]) -> None:
        self._fetch = fetch
        self._number = 0
        self._items: list[T] = []

    async def item(self, number: int) -> T:
        """Item `number`, counted from 1: the one handed out last, or the next."""
        if number != self._number:
            self._items = [await self._fetch()]
            self._number = number
        return self._items[0]


# --- waiting in a thread -------------------------------------------------------------------------


def wait(job: Job[T]) -> T:
    """Do a job and block this thread until it is over.

    Ctrl-C in the main thread, with Python's own handler, does not break out of the wait at whatever
    instruction it finds: it cancels the job, and KeyboardInterrupt is raised when that has ended.
    What other handlers raise waits for the end as well.
    """
    with _interrupting(job) as interruptions:
        over = _Signal()
        try:
            job.submit(over.set)
            over.wait()
        except BaseException:  # whatever a signal's handler raises: first the work must have ended
            _join(job)
            raise
        if interruptions:
            _join(job)
            raise KeyboardInterrupt
    return job.result()


def _join(job: Job[T]) -> None:
    over = _Signal()
    job.stop(over.set)
    over.wait()


class _Signal:
    """An event to wait for once. A bare lock: `threading.Event` would cost 10 us a call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.set = self._lock.release
        self.wait = self._lock.acquire


@contextmanager
def _interrupting(job: Job[T]) -> Iterator[list[int]]:
    """While it lasts, Ctrl-C cancels the job and is noted in the list that it gives."""
    interruptions: list[int] = []
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield interruptions
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        interruptions.append(number)
        job.cancel()

    signal.signal(signal.SIGINT, handle)
    try:
        yield interruptions
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
