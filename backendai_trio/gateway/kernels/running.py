"""One kernel from its turn to its end, and what event streams are told of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from ...wire.batch_jobs import BatchJob
from ...wire.dotfiles import Dotfile
from ...wire.events import SessionEvent
from ..releases import OURS, Release
from .batch import finish_job, start_job
from .events import EventHub
from .opening import SessionOpener
from .queue import QueuedSession
from .run import Run
from .session import Session
from .session_index import AnySession

__all__ = ["SessionRunner", "announce"]


class SessionRunner:
    """Runs kernels.

    Args:
        opener: starts them.
        events: where to publish what happens.
        release: the manager's release that the gateway behaves as.
        idle_seconds: a kernel that was not used for this long ends.
    """

    def __init__(
        self, opener: SessionOpener, events: EventHub, release: Release, idle_seconds: float
    ) -> None:
        self._opener = opener
        self._events = events
        self._release = release
        self._idle_seconds = idle_seconds

    async def run(
        self, item: QueuedSession, dotfiles: Sequence[Dotfile], on_start: Callable[[Session], None]
    ) -> None:
        """Run a kernel until it has ended: by request, by itself, for want of use, or killed.

        Args:
            item: the kernel, whose turn it is. It gets its `Session`, and is settled then.
            dotfiles: files that it gets.
            on_start: called when it runs, before others learn that.

        Raises:
            GatewayError, OSError: it could not be started, or has failed.
        """
        announce(self._events, item, "session_scheduled", "kernel_preparing", "kernel_creating")
        opened = self._opener.open(item.requested, dotfiles)
        async with opened as session:
            on_start(session)
            item.session = session
            if session.job is not None:
                # Before others learn that the kernel runs, and may destroy it.
                run = start_job(session, session.job)
                session.start_soon(self._finish_job, session, session.job, run)
            else:
                session.start_soon(_end_with_host, session)
            item.settle()
            announce(self._events, session, "kernel_started", "session_started")
            try:
                await self._wait_for_end(session)
            finally:
                session.ended.set()
                reason = session.end_reason
                announce(
                    self._events,
                    session,
                    "session_terminating",
                    "kernel_terminating",
                    reason=reason,
                )

    async def _finish_job(self, session: Session, job: BatchJob, run: Run) -> None:
        """End a batch session when its command has ended."""
        session.job_result = result = await finish_job(session, job, run)
        session.end_reason = result.reason
        name = f"session_{result.name.lower()}"
        code = result.exit_code
        if code > 128 and self._release is not OURS:
            code = 128 - code  # agents tell the number of the signal that has ended the command
        announce(self._events, session, name, reason=result.reason, exit_code=code)
        session.ended.set()

    async def _wait_for_end(self, session: Session) -> None:
        """Wait until a kernel is to end: by request, or because it was idle for too long."""
        while not session.ended.is_set():
            with trio.move_on_at(session.last_used + self._idle_seconds):
                await session.ended.wait()
            if session.busy:
                session.last_used = trio.current_time()
            elif trio.current_time() >= session.last_used + self._idle_seconds:
                session.end_reason = "idle-timeout"
                return


async def _end_with_host(session: Session) -> None:
    """End a kernel whose process host has died: without it, no program starts in it.

    First the clients of its runs learn how these have ended, if they ask soon. A batch session ends
    with its command, whose result is told, and is none of these.
    """
    await session.host.ended.wait()
    with trio.move_on_after(session.limits.last_words_seconds):
        await session.wait_without_runs()
    if not session.ended.is_set():  # by its client, at the same moment
        session.end_reason = "failed"
        session.ended.set()


def announce(
    events: EventHub,
    kernel: AnySession,
    *names: str,
    reason: str = "",
    exit_code: int | None = None,
) -> None:
    """Publish what happens to a kernel, to its owner's event streams.

    Args:
        events: the streams.
        kernel: the kernel.
        names: the events.
        reason: why it happens.
        exit_code: of the kernel's command, or as managers tell it.
    """
    for name in names:
        data = {"ownerAccessKey": kernel.access_key}
        event = SessionEvent(name, kernel.session_id, kernel.token, reason, exit_code, data)
        events.publish(kernel.access_key, event)
