"""What the blocking and the asyncio face have in common: all that needs no waiting.

Each object of a face stands for one of the Trio library, its engine. Its methods are functions of
the Trio library, made into calls that wait in the face's own way: `blocking` and
`asyncio._waiting` have functions for that, which keep name, parameters and docstring.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

from ..errors import BackendError
from ..kernels.apps import App
from ..kernels.execution import Execution
from ..kernels.kernel import TrioKernel
from ..kernels.terminal import Terminal
from ..vfolders.vfolder import TrioVFolder
from ..wire.apps import AppInfo
from ..wire.run_events import Event, Finished, TimedOut
from .calls import Call, open_resource
from .resources import ReplayableIterator, Resource

__all__ = [
    "AppFace",
    "ExecutionFace",
    "Face",
    "KernelFace",
    "StreamFace",
    "TerminalFace",
    "VFolderFace",
]

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)
R = TypeVar("R")
T = TypeVar("T")

_CLOSE_SECONDS = 10.0
"""How much longer than the grace time the end of a run or terminal may take."""


class Face(Generic[E_co]):
    """An object of the Trio library, for other threads."""

    def __init__(self, engine: E_co) -> None:
        self._engine = engine

    def _call(self, work: Callable[[], Awaitable[T]]) -> Call[T]:
        """Work on it, as a call into the Trio thread."""
        return Call(work)


class KernelFace(Face[TrioKernel]):
    """A kernel; made by `get_or_create` or `find`."""

    def __repr__(self) -> str:
        url = self._engine.client.config.endpoint.url
        return f"<{type(self).__name__} {self.token} at {url}>"

    @property
    def kernel_id(self) -> str:
        """Session UUID from 20.03 on, before that the token."""
        return self._engine.kernel_id

    @property
    def token(self) -> str:
        """Client session token; the session's name from 20.03 on."""
        return self._engine.token

    @property
    def created(self) -> bool:
        """False when an existing kernel was joined."""
        return self._engine.created

    def _open(self, open_it: Callable[[], AbstractAsyncContextManager[R]]) -> Call[Resource[R]]:
        """Something in the kernel, opened until it is closed."""
        grace = self._engine.client.config.grace_seconds
        return open_resource(open_it, close_seconds=grace + _CLOSE_SECONDS)


class VFolderFace(Face[TrioVFolder]):
    """A virtual folder; made by `create` or `find`."""

    def __repr__(self) -> str:
        url = self._engine.client.config.endpoint.url
        return f"<{type(self).__name__} {self.name} at {url}>"

    @property
    def name(self) -> str:
        """The folder's name, or the id that it was found by."""
        return self._engine.name


class StreamFace(Face[E], Generic[E, T]):
    """Something that is open in the Trio thread, and gives items.

    Any threads or tasks may iterate over it: each item goes to one of them.
    """

    def __init__(self, resource: Resource[E], fetch: Callable[[], Awaitable[T]]) -> None:
        super().__init__(resource.value)
        self._resource = resource
        self._items = ReplayableIterator(fetch)

    def _call(self, work: Callable[[], Awaitable[R]]) -> Call[R]:
        """Work on it, which ends when it is closed."""
        return Call(work, resource=self._resource)

    def _next(self) -> Call[tuple[int, T]]:
        """The next item, with its number; an interrupted caller leaves it to the next one."""
        items = self._items
        return Call(items.take, undo=items.put_back, resource=self._resource)

    def _close(self) -> Call[None]:
        return Call(self._resource.close)

    @property
    def closed(self) -> bool:
        """Whether it was closed, or has broken."""
        return self._resource.calls is None

    def exception(self) -> BaseException | None:
        """What it broke with, or the error of the last call on it that failed; None without one."""
        return self._resource.error or self._resource.failure


class TerminalFace(StreamFace[Terminal, bytes]):
    """A kernel's terminal."""

    def __init__(self, resource: Resource[Terminal]) -> None:
        super().__init__(resource, resource.value.receive_some)

    @property
    def exit_code(self) -> int | None:
        """Exit code of the shell, once the output has ended; None where the server tells none."""
        return self._engine.exit_code


class ExecutionFace(StreamFace[Execution, Event]):
    """A run in progress."""

    def __init__(self, resource: Resource[Execution]) -> None:
        super().__init__(resource, resource.value.__anext__)

    @property
    def run_id(self) -> str | None:
        """The run's id; None where it is the server's secret."""
        return self._engine.run_id

    @property
    def outcome(self) -> Finished | TimedOut | None:
        """How the run ended; None until its last event was received, or it was stopped."""
        return self._engine.outcome


class AppFace(StreamFace[App, BackendError]):
    """A local TCP port that leads to a service in a kernel."""

    def __init__(self, resource: Resource[App]) -> None:
        super().__init__(resource, resource.value.problems.receive)

    @property
    def info(self) -> AppInfo:
        """The service."""
        return self._engine.info

    @property
    def host(self) -> str:
        """IP address that the port is on."""
        return self._engine.host

    @property
    def port(self) -> int:
        """Number of the port."""
        return self._engine.port

    @property
    def url(self) -> str:
        """Address of the service for a browser or another program."""
        return self._engine.url
