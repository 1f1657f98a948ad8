"""What the blocking and the asyncio face have in common: all that needs no waiting.

Each object of a face stands for one of the Trio library, its engine. Most of its methods are the
engine's, made into calls that wait in the face's own way: `blocking` and `asyncio` have a function
for that, which keeps a method's name, signature and docstring.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from ..kernels.execution import Execution
from ..kernels.terminal import Terminal
from ..vfolders.vfolder import TrioVFolder
from ..wire.execution import Event, Finished, TimedOut
from .calls import Delivery, Held, Job
from .kernel_calls import PlainKernel

__all__ = ["ExecutionFace", "Face", "KernelFace", "TerminalFace", "VFolderFace"]

E = TypeVar("E")
T = TypeVar("T")


class Face(Generic[E]):
    """An object of the Trio library, for other threads."""

    def __init__(self, engine: E) -> None:
        self._engine = engine

    def _job(self, work: Callable[[], Awaitable[T]]) -> Job[T]:
        """Work on it, as a job for the Trio thread."""
        return Job(work)


class KernelFace(Face[PlainKernel]):
    """A kernel; made by `get_or_create` or `find`."""

    def __repr__(self) -> str:
        return repr(self._engine)

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


class VFolderFace(Face[TrioVFolder]):
    """A virtual folder; made by `create` or `find`."""

    def __repr__(self) -> str:
        return repr(self._engine)

    @property
    def name(self) -> str:
        """Its name, or the id that it was found by."""
        return self._engine.name


class StreamFace(Face[E]):
    """Something that is open in the Trio thread."""

    def __init__(self, held: Held[E]) -> None:
        super().__init__(held.value)
        self._held = held
        self._received = 0

    def _job(self, work: Callable[[], Awaitable[T]]) -> Job[T]:
        """Work on it, which ends when it is closed."""
        return Job(work, held=self._held)

    @property
    def closed(self) -> bool:
        """Whether it was closed, or has broken."""
        return self._held.crew is None

    def exception(self) -> BaseException | None:
        """What it broke with, or what the last call on it has failed with; None if none has."""
        return self._held.error or self._held.failure


class TerminalFace(StreamFace[Terminal]):
    """A kernel's terminal."""

    def __init__(self, held: Held[Terminal]) -> None:
        super().__init__(held)
        self._output: Delivery[bytes] = Delivery(held.value.receive_some)

    @property
    def exit_code(self) -> int | None:
        """How its shell ended, once the output has ended; None if nobody told."""
        return self._engine.exit_code


class ExecutionFace(StreamFace[Execution]):
    """A run in progress."""

    def __init__(self, held: Held[Execution]) -> None:
        super().__init__(held)
        self._events: Delivery[Event] = Delivery(held.value.__anext__)

    @property
    def run_id(self) -> str | None:
        """The run's id; None where it is the server's secret."""
        return self._engine.run_id

    @property
    def outcome(self) -> Finished | TimedOut | None:
        """How the run ended; None until its last event was received, or it was stopped."""
        return self._engine.outcome
