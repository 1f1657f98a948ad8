"""Calls into the Trio thread that can be interrupted exactly.

What a call promises, on either face: when it returns because its caller was interrupted, the Trio
work under it was cancelled *and has ended*; what the work had made for that caller is undone. The
caller's context variables are visible in the work, as in a task that the caller starts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from contextvars import copy_context
from typing import Any, Generic, TypeVar

import trio

from .._groups import one_error
from ..config.environment import read_config
from ..config.settings import Config
from ..transport.client import Client
from .portal import running_portal
from .resources import Resource

__all__ = ["Call", "client_call", "open_resource"]

T = TypeVar("T")


class Call(Generic[T]):
    """Work for the Trio thread, seen from another thread.

    `submit` it once; when `wake` is called, `result` gives the outcome. A caller that gives up
    calls `stop` instead, and is woken when the work has ended.

    Args:
        work: what to do.
        undo: takes back what the work has returned, for a caller that was interrupted meanwhile.
        resource: the object that is worked on; the work ends with it.

    Raises:
        PortalError: there is no thread to do it.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[T]],
        *,
        undo: Callable[[T], Awaitable[object]] | None = None,
        resource: Resource[Any] | None = None,
    ) -> None:
        self._portal = running_portal()
        self._work = work
        self._undo = undo
        self._resource = resource
        self._scope = trio.CancelScope()
        self._started = False
        self._over = False
        self._stopped = False
        self._values: list[T] = []
        self._error: BaseException | None = None
        self._wake: Callable[[], None]

    def submit(self, wake: Callable[[], None]) -> None:
        """Start it.

        Args:
            wake: called in the Trio thread once the work is over; must neither block nor raise.
        """
        self._wake = wake
        try:
            self._portal.post(copy_context().run, self._start)
        except trio.RunFinishedError:
            self._fail(self._portal.ended())

    def cancel(self) -> None:
        """Cancel the work. Signal-safe, and may come before `submit`."""
        try:
            self._portal.post(self._scope.cancel)
        except trio.RunFinishedError:
            pass  # then it is over

    def stop(self, wake: Callable[[], None]) -> None:
        """Cancel the work, or undo it; from now on it is `wake` that is called."""
        try:
            self._portal.post(self._stop, wake)
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
        nursery = self._portal.calls if self._resource is None else self._resource.calls
        if self._portal.calls is None or nursery is None:
            self._fail(self._ended())
        else:
            nursery.start_soon(self._run)

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._do()
            if self._stopped:
                await self._take_back()
        finally:
            self._end()

    async def _do(self) -> None:
        try:
            with one_error():
                self._values.append(await self._work())
        except trio.Cancelled:
            # A caller that has cancelled the call raises an error of its own; others learn from
            # this one why the resource, or the thread, has ended.
            self._error = self._ended()
            raise
        except StopAsyncIteration as exc:
            self._error = exc
        except BaseException as exc:  # noqa: ASYNC103 (the caller raises it)
            self._error = exc
            if self._resource is not None:
                self._resource.failure = exc

    def _stop(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._stopped = True
        self._scope.cancel()
        if self._over and self._values and self._undo and self._portal.calls is not None:
            self._portal.calls.start_soon(self._undo_late)
        elif self._over or not self._started:
            wake()

    async def _undo_late(self) -> None:
        try:
            await self._take_back()
        finally:
            self._wake()

    async def _take_back(self) -> None:
        if self._values and self._undo:
            try:
                await self._undo(self._values[0])
            except Exception:  # noqa: S110
                pass  # what interrupted the caller is the error to report

    def _fail(self, error: BaseException) -> None:
        self._error = error
        self._end()

    def _end(self) -> None:
        self._over = True
        self._wake()

    def _ended(self) -> Exception:
        """The error of a call that has nothing to work on, or no thread to run in."""
        resource = self._resource
        if resource is None or self._portal.calls is None:
            return self._portal.ended()
        if resource.closing:
            return trio.ClosedResourceError("it was closed")
        error = trio.BrokenResourceError("it has broken; close it, which raises the reason")
        error.__cause__ = resource.error  # none yet for calls that end with it
        return error


def client_call(
    config: Config | None,
    work: Callable[[Client], Awaitable[T]],
    *,
    undo: Callable[[T], Awaitable[object]] | None = None,
) -> Call[T]:
    """A call that needs a client.

    Args:
        config: settings of its server; None for those of the environment, or a gateway.
        work: what to do with the client.
        undo: as for `Call`.

    Raises:
        ConfigError: the environment's settings are malformed.
        PortalError: there is no thread to do it.
    """
    portal = running_portal()
    settings = config or read_config()

    async def run() -> T:
        return await work(await portal.client(settings))

    return Call(run, undo=undo)


def open_resource(
    open_it: Callable[[], AbstractAsyncContextManager[T]], *, close_seconds: float
) -> Call[Resource[T]]:
    """The call that opens an object, which then stays open until `Resource.close`.

    Args:
        open_it: makes the block that the object lives in.
        close_seconds: how long `Resource.close` waits for the end of the block.
    """
    portal = running_portal()

    async def enter() -> Resource[T]:
        resource = Resource(open_it(), close_seconds=close_seconds)
        if portal.calls is None:
            raise portal.ended()
        await portal.calls.start(resource.live)
        return resource

    return Call(enter, undo=Resource.close)
