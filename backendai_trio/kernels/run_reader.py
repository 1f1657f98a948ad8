"""Receiving the events of a run: for its own task, and ahead of it while other runs wait."""

from __future__ import annotations

from collections import deque

import trio

from ..errors import BackendError
from ..wire.query_failures import QueryFailure
from ..wire.run_events import Event, Finished, Stderr, TimedOut
from .run_stream import RunStream
from .run_turns import open_turn

__all__ = ["RunReader"]

_MAX_KEPT_EVENTS = 4096
"""Events that are read ahead; one has the output of a poll, or 64 KiB of it."""


class RunReader:
    """Receives the events of a run.

    Attributes:
        events: those that were received, and that the run's own task has not taken.
        ended: the end of the run, as its output speaks for; None before, and where that says no
            more than the stream.
    """

    def __init__(
        self, stream: RunStream, turn: open_turn, query_failure: QueryFailure | None = None
    ) -> None:
        self.events: deque[Event] = deque()
        self.ended: Finished | TimedOut | None = None
        self._stream = stream
        self._turn = turn
        self._query_failure = query_failure
        self._moved = trio.lowlevel.ParkingLot()
        self._receiving = False
        self._reader_waits = False
        self._failure: BackendError | None = None
        self._readers_ahead: set[trio.CancelScope] = set()
        self._may_read_ahead = True

    async def receive(self) -> None:
        """Receive events for the run's own task, or wait while another task reads ahead.

        Raises:
            BackendError: the run has failed.

        Cancellation: loses no event.
        """
        if self._failure is not None:
            raise self._failure
        if not self._receiving:
            await self._receive_from_stream()
            return
        self._reader_waits = True
        try:
            await self._moved.park()
        finally:
            self._reader_waits = False

    async def _receive_from_stream(self) -> None:
        self._receiving = True
        try:
            events = await self._stream.receive()
            self.events.extend(map(self._judged, events) if self._query_failure else events)
        finally:
            self._receiving = False
            self._moved.unpark_all()
        if self._stream.outcome is not None:
            self._turn.end()

    def _judged(self, event: Event) -> Event:
        """The event; the end with the exit code that the output speaks for."""
        assert self._query_failure is not None
        match event:
            case Stderr(text):
                self._query_failure.see_stderr(text)
            case Finished(code):
                self.ended = event = Finished(self._query_failure.exit_code_of(code))
            case _:
                self._query_failure.see_stdout()
        return event

    def take(self) -> Event:
        """The first of the events."""
        event = self.events.popleft()
        self._moved.unpark_all()
        return event

    @property
    def asks(self) -> bool:
        """Whether the last event that was taken is a question, which is still open."""
        return not self.events and self._stream.asks

    @property
    def is_read_ahead(self) -> bool:
        """Whether a task is in `read_ahead`."""
        return bool(self._readers_ahead)

    async def read_ahead(self) -> None:
        """Receive events and keep them for the reader of this run, until it has ended; for one
        that waits for its turn.

        At a question it waits, as `RunStream.receive` does, until the answer is there. It pauses
        when much is kept already: the reader has to go on then.

        Raises:
            BackendError: the run has failed, and its reader does not wait for an event now.

        Cancellation: loses no event.
        """
        with trio.CancelScope() as scope:
            self._readers_ahead.add(scope)
            try:
                while self._may_read_ahead and self._stream.outcome is None:
                    kept = len(self.events) >= _MAX_KEPT_EVENTS
                    if kept or self._receiving or self._failure:
                        await self._moved.park()
                    else:
                        await self._receive_from_stream()
            except BackendError as exc:
                self._failure = exc
                if not self._reader_waits:  # it may be what waits for the turn
                    raise
            finally:
                self._readers_ahead.discard(scope)
                self._moved.unpark_all()

    async def end_reading_ahead(self) -> None:
        """End the reading ahead: from now on only the run's own block reads it."""
        self._may_read_ahead = False
        for scope in self._readers_ahead:
            scope.cancel()
        while self._readers_ahead:
            await self._moved.park()
