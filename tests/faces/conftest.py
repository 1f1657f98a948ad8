"""The three faces, for tests that are written once.

A test's body is a coroutine. On the blocking face it has nothing to wait for: each method is
wrapped to be awaited and is done when it returns, so that the body runs from its start to its end
in one step, without any event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial, wraps
from typing import Any

import pytest
import trio

import backendai_trio
from backendai_trio import PlainKernel, open_client
from backendai_trio.asyncio import AsyncAdmin, AsyncKernel
from backendai_trio.testing import TestGateway, gateway_in_thread

PATIENCE_SECONDS = 60

Body = Callable[["Face"], Coroutine[Any, Any, None]]


class Face:
    """What a test's body sees: `get_or_create` and `find` give kernels, `query` asks the admin."""

    name: str
    gateway: TestGateway
    get_or_create: Callable[..., Awaitable[Any]]
    find: Callable[..., Awaitable[Any]]
    query: Callable[..., Awaitable[Any]]
    list_kernels: Callable[..., Awaitable[Any]]

    def run(self, body: Body) -> None:
        """Run a test's body on this face."""
        raise NotImplementedError


class TrioFace(Face):
    name = "trio"

    def run(self, body: Body) -> None:
        async def main() -> None:
            with trio.fail_after(PATIENCE_SECONDS):
                async with open_client() as client:
                    self.get_or_create = partial(PlainKernel.get_or_create, client)
                    self.find = partial(PlainKernel.find, client)
                    self.query = partial(backendai_trio.query, client)
                    self.list_kernels = partial(backendai_trio.list_kernels, client)
                    await body(self)

        trio.run(main)


class AsyncioFace(Face):
    name = "asyncio"
    get_or_create = staticmethod(AsyncKernel.get_or_create)
    find = staticmethod(AsyncKernel.find)
    query = staticmethod(AsyncAdmin.query)
    list_kernels = staticmethod(AsyncAdmin.list_kernels)

    def run(self, body: Body) -> None:
        async def main() -> None:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await body(self)

        with asyncio.Runner(loop_factory=self.new_loop) as runner:
            runner.run(main())

    def new_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.new_event_loop()


class UvloopFace(AsyncioFace):
    name = "uvloop"

    def new_loop(self) -> asyncio.AbstractEventLoop:
        import uvloop

        return uvloop.new_event_loop()


class BlockingFace(Face):
    name = "blocking"

    def __init__(self) -> None:
        kernel, admin = backendai_trio.Kernel, backendai_trio.Admin
        self.get_or_create = awaitable(kernel.get_or_create)
        self.find = awaitable(kernel.find)
        self.query = awaitable(admin.query)
        self.list_kernels = awaitable(admin.list_kernels)

    def run(self, body: Body) -> None:
        failures: list[BaseException] = []

        def target() -> None:
            try:
                body(self).send(None)
            except StopIteration:
                return
            except BaseException as exc:  # noqa: ASYNC103 (for the main thread)
                failures.append(exc)
            else:
                failures.append(AssertionError("the body has waited for something else"))

        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "the test hangs"
        if failures:
            raise failures[0]


def awaitable(function: Callable[..., Any]) -> Callable[..., Any]:
    """A blocking function as one to be awaited, its result likewise."""

    @wraps(function)
    async def awaited(*args: Any, **kwargs: Any) -> Any:  # noqa: ASYNC124 (nothing waits here)
        result = function(*args, **kwargs)
        blocking = (backendai_trio.Kernel, backendai_trio.StreamPty, backendai_trio.StreamExecute)
        return Awaited(result) if isinstance(result, blocking) else result

    return awaited


class Awaited:
    """An object of the blocking face, whose methods are to be awaited."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name.startswith("stream_"):
            return lambda *args, **kwargs: Awaited(value(*args, **kwargs))
        return awaitable(value) if callable(value) else value

    async def __aenter__(self) -> Awaited:
        self._inner.__enter__()
        return self

    async def __aexit__(self, *details: Any) -> None:
        self._inner.__exit__(*details)

    def __aiter__(self) -> Awaited:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self._inner)
        except StopIteration:
            raise StopAsyncIteration from None


FACES: dict[str, type[Face]] = {
    face.name: face for face in (TrioFace, AsyncioFace, UvloopFace, BlockingFace)
}


@pytest.fixture(scope="module")
def served() -> Iterator[TestGateway]:
    """One gateway for a module's tests; each destroys its kernels."""
    with gateway_in_thread() as gateway:
        yield gateway


@pytest.fixture(params=list(FACES))
def face(
    request: pytest.FixtureRequest, served: TestGateway, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Face]:
    """Each face in turn, configured by the environment; no kernel may be left behind it."""
    for name, value in served.environ.items():
        monkeypatch.setenv(name, value)
    face = FACES[request.param]()
    face.gateway = served
    yield face
    assert served.tokens() == []
