"""Replacing a stream's lost connection: how soon, how often, and for how long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import trio

from ..errors import ApiError, BackendError, ConnectionFailed, WebSocketsBlocked
from .connection_state import ConnectionState
from .retry import backoff, is_transient

__all__ = ["Reconnecting"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25


class Reconnecting:
    """The attempts of one stream to connect again: at once, and after growing pauses if that fails.

    There is also a pause, though a short one, when the last connection broke before it carried
    anything: a server that takes connections and breaks them is not asked in a tight loop.

    Args:
        outage_seconds: how long a stream may be without a message over a new connection.
        url: of the server, for errors.
        state: is told of attempts that fail.
    """

    def __init__(self, outage_seconds: float, url: str, state: ConnectionState) -> None:
        self._outage_seconds = outage_seconds
        self._url = url
        self._state = state
        # When the outage has lasted for too long. A message over a new connection ends it.
        self._give_up_at: float | None = None
        # Between connections that break before they carry anything new.
        self._pauses: Iterator[float] | None = None

    def note_message(self) -> None:
        """A message has come: the outage, if there was one, is over."""
        self._give_up_at = None

    def note_progress(self) -> None:
        """The connection has carried something new."""
        self._pauses = None

    async def run(self, connect: Callable[[], Awaitable[None]]) -> None:
        """Connect again.

        Args:
            connect: one attempt.

        Raises:
            ConnectionFailed: the outage has lasted for too long.
            BackendError: the failure of an attempt that will not pass.
        """
        now = trio.current_time()
        if self._give_up_at is None:
            self._give_up_at = now + self._outage_seconds
        elif now > self._give_up_at:
            raise self._outage("the server breaks each new connection")
        if self._pauses is None:
            self._pauses = backoff(_FIRST_PAUSE, longest=_LONGEST_PAUSE)
        else:
            await trio.sleep(next(self._pauses))
        pauses = backoff(_FIRST_PAUSE)
        while True:
            try:
                await connect()
            except BackendError as exc:
                # The first WebSocket got through, so a refusal to upgrade may pass as well.
                if not is_transient(exc, also={500}) and not isinstance(exc, WebSocketsBlocked):
                    raise
                pause = next(pauses)
                if trio.current_time() + pause > self._give_up_at:
                    raise self._outage(exc) from exc
                if isinstance(exc, ApiError | ConnectionFailed):
                    self._state.note_failure(exc.reason)
                await trio.sleep(pause)
            else:
                return

    def _outage(self, reason: object) -> ConnectionFailed:
        return ConnectionFailed(
            f"the connection to {self._url} broke and did not come back within "
            f"{self._outage_seconds:g} s; output may be missing ({reason})"
        )
