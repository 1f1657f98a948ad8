"""Kernels that do not run yet: they wait for their turn, or are being started."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import trio

from ...wire.kernel_states import KernelState
from ...wire.kernels import KernelInfo
from ...wire.status_details import Failure, Predicate, StatusDetails
from ..refusals import Refused
from .requests import RequestedKernel
from .room import Room
from .session import Session

__all__ = ["QueuedSession", "StartQueue"]


class QueuedSession:
    """A kernel from its create until it runs, or never will.

    Attributes:
        status: ``PENDING``, ``PREPARING`` or ``CANCELLED``.
        tries_before: the queue's tries (see `StartQueue`) before it came.
        settled: set when it runs, or never will.
        session: the kernel, once it runs.
        failure: why it could not be started.
    """

    def __init__(self, requested: RequestedKernel) -> None:
        self.requested = requested
        self.token = requested.create.token
        self.access_key = requested.access_key
        self.session_id = requested.session_id
        self.created_at = requested.created_at
        self.runtime = requested.runtime
        self.amounts = requested.amounts
        self.mounts = requested.mounts
        self.status = "PENDING"
        self.tries_before = 0
        self.settled = trio.Event()
        self.session: Session | None = None
        self.failure: Refused | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Its key pair and its token."""
        return self.access_key, self.token

    async def wait_settled(self) -> Session | QueuedSession:
        """Wait until it runs, or never will.

        Returns:
            The kernel that runs; itself if it was destroyed before that.

        Raises:
            Refused: it could not be started.
        """
        await self.settled.wait()
        if self.failure is not None:
            raise self.failure
        return self.session or self

    def settle(self) -> None:
        """It runs, or never will: wake those who wait for that."""
        if self.session is None:
            self.status = "CANCELLED"
        self.settled.set()

    def state(
        self, room: Room, queue: StartQueue, *, tells_position: bool, tells_reason: bool
    ) -> KernelState:
        """Its state, as the API tells it.

        Args:
            room: what is free.
            queue: where it waits, if it does.
            tells_position: whether it is told how many kernels are before it.
            tells_reason: whether it is told why it waits, in the form of managers up to 25.x.
        """
        if self.failure is not None:
            details = StatusDetails(
                failures=(Failure(self.failure.problem.detail, source="agent"),)
            )
            return KernelState(self.status, "failed-to-start", details, (self.status,))
        if self.status != "PENDING":
            info = "user-requested" if self.status == "CANCELLED" else ""
            return KernelState(self.status, info, containers=(self.status,))
        ahead = queue.ahead_of(self) if tells_position else None
        if not tells_reason:
            return KernelState(self.status, containers=(self.status,), ahead=ahead)
        details = StatusDetails(
            tries=queue.tries - self.tries_before,
            last_try=queue.last_try,
            passed=("reserved_time", "dependencies"),
        )
        if room.sessions:
            info, passed = "no-available-instances", (*details.passed, "concurrency")
            details = replace(details, passed=passed, message=room.reason(self.amounts))
        else:
            info = "predicate-checks-failed"
            message = f"You cannot run more than {room.max_sessions} concurrent sessions"
            details = replace(details, failed=(Predicate("concurrency", message),))
        return KernelState(self.status, info, details, (self.status,), ahead=ahead)

    def info(self, state: KernelState) -> KernelInfo:
        """The reply to ``GET /session/{name}``."""
        age = datetime.now(UTC) - self.created_at
        return KernelInfo(
            runtime=self.runtime.name,
            status=state.status,
            age_ms=max(0, int(age.total_seconds() * 1000)),
            status_info=state.info,
            status_details=state.details,
        )


class StartQueue:
    """Kernels that wait for their turn: that of the highest priority first, then the oldest.

    A kernel that waits for a resource keeps those after it from that resource, however little they
    ask for: else it might wait forever. Kernels that ask for none do not wait for it.

    Attributes:
        tries: how often there was no room for any of them.
        last_try: when that was last so, ISO 8601.
    """

    def __init__(self) -> None:
        self.tries = 0
        self.last_try = ""
        self._waiting: list[QueuedSession] = []

    def __iter__(self) -> Iterator[QueuedSession]:
        return iter(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: QueuedSession) -> None:
        """Add a kernel."""
        item.tries_before = self.tries
        # Stable: those of one priority stay in the order in which they came.
        self._waiting = sorted([*self._waiting, item], key=_rank)

    def has_no_room(self) -> None:
        """Note that there is no room for any kernel."""
        self.tries += 1
        self.last_try = datetime.now(UTC).isoformat()

    def remove(self, item: QueuedSession) -> None:
        """Remove a kernel that waits."""
        self._waiting.remove(item)

    def next(self, room: Room) -> QueuedSession | None:
        """The kernel whose turn it is; None if there is no room for any.

        Args:
            room: what is free.
        """
        awaited: set[str] = set()
        for item in self._waiting if room.sessions else ():
            if awaited.isdisjoint(item.amounts) and not room.missing_for(item.amounts):
                return item
            awaited.update(item.amounts)
        return None

    def ahead_of(self, item: QueuedSession) -> int | None:
        """How many kernels are before one; None if it does not wait."""
        return self._waiting.index(item) if item in self._waiting else None


def _rank(item: QueuedSession) -> int:
    return -(item.requested.create.spec.priority or 0)
