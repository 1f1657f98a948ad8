"""The three faces, for tests that are written once.

A test's body is a coroutine. On the blocking face it has nothing to wait for: each method is
wrapped to be awaited and is done when it returns, so that the body runs from its start to its end
in one step, without any event loop.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest
import trio

import backendai_trio
from backendai_trio import Client, Config, GatewayOptions, TrioKernel, open_client
from backendai_trio.asyncio import AsyncAdmin, AsyncKernel, AsyncVFolder
from backendai_trio.faces import compat, transfers
from backendai_trio.gateway import stored_config
from backendai_trio.testing import TestGateway, gateway_in_thread

TIMEOUT_SECONDS = 60
USER, OTHER_USER = "AKIAFACESFACESFACES1", "AKIAFACESFACESFACES2"

Body = Callable[["Face"], Coroutine[Any, Any, None]]


class Face(ABC):
    """What a test's body sees: `get_or_create` and `find` give kernels, `query` asks the admin.

    Attributes:
        folders: gives virtual folders: `create`, `find`, `list` and what there is for invitations.
        other_user: settings of another user of the gateway.
        other_folders: what `folders` is for them.
    """

    name: str
    gateway: TestGateway
    folders: Any
    other_user: Config
    other_folders: Any
    get_or_create: Callable[..., Awaitable[Any]]
    find: Callable[..., Awaitable[Any]]
    query: Callable[..., Awaitable[Any]]
    list_kernels: Callable[..., Awaitable[Any]]
    list_rows: Callable[..., Awaitable[Any]]

    @abstractmethod
    def run(self, body: Body) -> None:
        """Run a test's body on this face."""


class TrioFace(Face):
    name = "trio"

    def run(self, body: Body) -> None:
        async def main() -> None:
            with trio.fail_after(TIMEOUT_SECONDS):
                async with open_client() as client, open_client(self.other_user) as theirs:
                    self.get_or_create = in_trio(partial(compat.get_or_create, client))
                    self.find = in_trio(partial(backendai_trio.find_kernel, client))
                    self.query = partial(backendai_trio.query, client)
                    self.list_kernels = partial(backendai_trio.list_kernels, client)
                    self.list_rows = partial(backendai_trio.admin.list_rows, client)
                    self.folders, self.other_folders = TrioFolders(client), TrioFolders(theirs)
                    await body(self)

        trio.run(main)


class InTrio:
    """A kernel in Trio, with the methods of client 1.1.1 that the faces have."""

    def __init__(self, kernel: TrioKernel) -> None:
        self._kernel = kernel

    def __getattr__(self, name: str) -> Any:
        for module in (compat, transfers):
            if name in module.__all__:
                return partial(getattr(module, name), self._kernel)
        return getattr(self._kernel, name)


def in_trio(function: Callable[..., Awaitable[TrioKernel]]) -> Callable[..., Awaitable[InTrio]]:
    async def call(*args: Any, **kwargs: Any) -> InTrio:
        return InTrio(await function(*args, **kwargs))

    return call


class TrioFolders:
    """Trio's functions for virtual folders, by the names that they have on the other faces."""

    def __init__(self, client: Client) -> None:
        self.create = partial(backendai_trio.create_vfolder, client)
        self.find = partial(backendai_trio.find_vfolder, client)
        self.list = partial(backendai_trio.list_vfolders, client)
        self.list_invitations = partial(backendai_trio.vfolders.list_invitations, client)
        self.accept_invitation = partial(backendai_trio.vfolders.accept_invitation, client)
        self.decline_invitation = partial(backendai_trio.vfolders.decline_invitation, client)


class OfUser:
    """A class of a face, whose class methods get the settings of a user."""

    def __init__(self, cls: type, config: Config) -> None:
        self._class = cls
        self._config = config

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(getattr(self._class, name), config=self._config)


class AsyncioFace(Face):
    name = "asyncio"
    get_or_create = staticmethod(AsyncKernel.get_or_create)
    find = staticmethod(AsyncKernel.find)
    query = staticmethod(AsyncAdmin.query)
    list_kernels = staticmethod(AsyncAdmin.list_kernels)
    list_rows = staticmethod(AsyncAdmin.list_rows)
    folders = AsyncVFolder

    def run(self, body: Body) -> None:
        self.other_folders = OfUser(AsyncVFolder, self.other_user)

        async def main() -> None:
            async with asyncio.timeout(TIMEOUT_SECONDS):
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
        kernel, admin = backendai_trio.Kernel, backendai_trio.faces.Admin
        self.get_or_create = awaitable(kernel.get_or_create)
        self.find = awaitable(kernel.find)
        self.query = awaitable(admin.query)
        self.list_kernels = awaitable(admin.list_kernels)
        self.list_rows = awaitable(admin.list_rows)
        self.folders = Awaited(backendai_trio.VFolder)

    def run(self, body: Body) -> None:
        self.other_folders = Awaited(OfUser(backendai_trio.VFolder, self.other_user))
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
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive(), "the test hangs"
        if failures:
            raise failures[0]


BLOCKING = (
    backendai_trio.Kernel,
    backendai_trio.VFolder,
    backendai_trio.faces.StreamPty,
    backendai_trio.faces.StreamExecute,
)


def awaitable(function: Callable[..., Any]) -> Callable[..., Any]:
    """A blocking function as one to be awaited, its result likewise."""

    @wraps(function)
    async def awaited(*args: Any, **kwargs: Any) -> Any:  # noqa: ASYNC124 (nothing waits here)
        result = function(*args, **kwargs)
        return Awaited(result) if isinstance(result, BLOCKING) else result

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
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the gateway of a module's tests remembers: two users."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def served(data: Path) -> Iterator[TestGateway]:
    """One gateway for a module's tests; each destroys its kernels."""
    with gateway_in_thread(GatewayOptions(data=data, access_key=USER)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def other_user(data: Path, served: TestGateway) -> Config:
    config = stored_config(GatewayOptions(data=data, access_key=OTHER_USER))
    return replace(config, endpoint=served.config.endpoint)


@pytest.fixture(params=list(FACES))
def face(
    request: pytest.FixtureRequest,
    served: TestGateway,
    other_user: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Face]:
    """Each face in turn, configured by the environment; no kernel may be left behind it."""
    for name, value in served.environ.items():
        monkeypatch.setenv(name, value)
    face = FACES[request.param]()
    face.gateway, face.other_user = served, other_user
    yield face
    assert served.tokens() == []
