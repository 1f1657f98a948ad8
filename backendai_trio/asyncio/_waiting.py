"""Waiting in asyncio for calls into the Trio thread, and methods that do so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, cast

from ..config.settings import Config
from ..faces.base import Face
from ..faces.binding import ClassCall, WithConfig, adopt_function, adopt_method
from ..faces.calls import Call, client_call
from ..transport.client import Client

__all__ = ["awaited", "making", "of_class", "wait"]

E = TypeVar("E")
F = TypeVar("F")
T = TypeVar("T")
P = ParamSpec("P")


class Maker(Protocol[P]):
    """A class method that gives an object of the class, to be awaited."""

    def __get__(
        self, instance: object, owner: type[F], /
    ) -> WithConfig[P, Coroutine[Any, Any, F]]: ...


def awaited(
    function: Callable[Concatenate[E, P], Awaitable[T]],
) -> Callable[Concatenate[Face[E], P], Coroutine[Any, Any, T]]:
    """A function of the engine, as a method of its face."""

    async def call(face: Face[E], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await wait(face._call(partial(function, face._engine, *args, **kwargs)))

    adopt_method(call, function)
    return call


def of_class(
    function: Callable[Concatenate[Client, P], Awaitable[T]],
) -> ClassCall[P, Coroutine[Any, Any, T]]:
    """A function that takes a client, as a class method."""

    async def call(_: type, /, *args: Any, config: Config | None = None, **kwargs: Any) -> T:
        return await wait(client_call(config, lambda client: function(client, *args, **kwargs)))

    adopt_function(call, function)
    return cast(ClassCall[P, Coroutine[Any, Any, T]], classmethod(call))


def making(
    function: Callable[Concatenate[Client, P], Awaitable[E]],
    undo: Callable[[E], Awaitable[object]] | None = None,
) -> Maker[P]:
    """A function that makes or finds an engine, as a class method that gives its face."""

    async def call(
        face: Callable[[E], Face[E]],
        /,
        *args: Any,
        config: Config | None = None,
        **kwargs: Any,
    ) -> Face[E]:
        engine = client_call(config, lambda client: function(client, *args, **kwargs), undo=undo)
        return face(await wait(engine))

    adopt_function(call, function, returns=Self)
    return cast(Maker[P], classmethod(call))


async def wait(call: Call[T]) -> T:
    """Make a call; the loop goes on meanwhile.

    Cancellation:
        Cancels the call, and is raised when that has ended, however often it is cancelled again
        meanwhile.
    """
    over, wake = _signal()
    call.submit(wake)
    try:
        await over
    except GeneratorExit:  # thrown away with its loop: nothing can wait any more
        call.stop(lambda: None)
        raise
    except BaseException:  # cancelled: first the work must have ended
        await _join(call)
        raise
    return call.result()


async def _join(call: Call[T]) -> None:
    over, wake = _signal()
    call.stop(wake)
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
        pass  # the loop was closed; nothing waits


def _complete(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
