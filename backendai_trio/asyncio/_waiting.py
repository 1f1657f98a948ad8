"""Waiting in asyncio for jobs of the Trio thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..faces.base import Face
from ..faces.calls import Job

__all__ = ["awaited", "wait"]

E = TypeVar("E")
T = TypeVar("T")
P = ParamSpec("P")


def awaited(
    method: Callable[Concatenate[E, P], Awaitable[T]],
) -> Callable[Concatenate[Face[E], P], Coroutine[Any, Any, T]]:
    """The engine's method, for a face of it: to be awaited in asyncio."""

    @wraps(method)
    async def call(face: Face[E], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await wait(face._job(partial(method, face._engine, *args, **kwargs)))

    return call


async def wait(job: Job[T]) -> T:
    """Do a job; the loop goes on meanwhile.

    Cancellation:
        Cancels the job, and is raised when that has ended, be it cancelled again meanwhile.
    """
    over, wake = _signal()
    job.submit(wake)
    try:
        await over
    except GeneratorExit:  # thrown away with its loop: nobody can wait any more
        job.cancel()
        raise
    except BaseException:  # cancelled: first the work must have ended
        await _join(job)
        raise
    return job.result()


async def _join(job: Job[T]) -> None:
    over, wake = _signal()
    job.stop(wake)
    while not over.done():
        try:
            await asyncio.wait((over,))
        except asyncio.CancelledError:  # noqa: ASYNC103
            continue  # noqa: ASYNC104 (the caller raises its own)


def _signal() -> tuple[asyncio.Future[None], Callable[[], None]]:
    """A future, and the function that completes it from the Trio thread."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    return over, partial(_wake, loop, over)


def _wake(loop: asyncio.AbstractEventLoop, over: asyncio.Future[None]) -> None:
    try:
        loop.call_soon_threadsafe(_complete, over)
    except RuntimeError:
        pass  # the loop was closed; nobody waits


def _complete(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
