"""What the blocking and the asyncio face have in common: all that needs no waiting."""

from __future__ import annotations

from typing import Generic, TypeVar

from ._portal import Delivery, Held
from .executions import Execution
from .plain import PlainKernel
from .terminals import Terminal
from .wire.execution import Event, Finished, TimedOut

__all__ = ["ExecutionFace", "KernelFace", "TerminalFace"]

T = TypeVar("T")


class KernelFace:
    """A kernel; made by `get_or_create` or `find`."""

    def __init__(self, kernel: PlainKernel) -> None:
        self._kernel = kernel

    def __repr__(self) -> str:
        return repr(self._kernel)

    @property
    def kernel_id(self) -> str:
        """Session UUID from 20.03 on, before that the token."""
        return self._kernel.kernel_id

    @property
    def token(self) -> str:
        """Client session token; the session's name from 20.03 on."""
        return self._kernel.token

    @property
    def created(self) -> bool:
        """False when an existing kernel was joined."""
        return self._kernel.created


class StreamFace(Generic[T]):
    """Something that is open in the Trio thread."""

    def __init__(self, held: Held[T]) -> None:
        self._held = held
        self._received = 0

    @property
    def closed(self) -> bool:
        """Whether it was closed, or has broken."""
        return self._held.nursery is None

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
        return self._held.value.exit_code


class ExecutionFace(StreamFace[Execution]):
    """A run in progress."""

    def __init__(self, held: Held[Execution]) -> None:
        super().__init__(held)
        self._events: Delivery[Event] = Delivery(held.value.__anext__)

    @property
    def run_id(self) -> str | None:
        """The run's id; None where it is the server's secret."""
        return self._held.value.run_id

    @property
    def outcome(self) -> Finished | TimedOut | None:
        """How the run ended; None until its last event was received, or it was stopped."""
        return self._held.value.outcome
