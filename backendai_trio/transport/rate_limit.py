"""Requests that a server refuses because the key pair has sent too many: waiting, and again.

A manager counts the requests of a key pair over 15 minutes, those it refuses included, and does
nothing for these (docs/protocol.md, section 10). So any request may be repeated, and not often.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from ..errors import QuotaExceeded
from .retry import RATE_LIMITED, RetryPolicy, is_rate_limit, retry_after_of

__all__ = ["RateLimitPauses"]

T = TypeVar("T")

_log = logging.getLogger("backendai_trio.http")


class RateLimitPauses:
    """The pauses of one call.

    Args:
        url: of the server, for the log.
        max_seconds: how long the call may be held up in all.
        policy: of the pauses, which are shorter if `max_seconds` is less than its `seconds`.
    """

    def __init__(self, url: str, max_seconds: float, *, policy: RetryPolicy = RATE_LIMITED) -> None:
        self._url = url
        self._max_seconds = max_seconds
        self._give_up_at: float | None = None
        self._pauses = policy.within(max_seconds).pauses()

    async def wait_out(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Run an attempt, again after each pause.

        Args:
            attempt: sends the request, and raises what the server refuses it with.

        Raises:
            QuotaExceeded: as for `wait`.
        """
        while True:
            try:
                return await attempt()
            except QuotaExceeded as exc:
                await self.wait(exc)

    async def wait(self, refusal: QuotaExceeded) -> None:
        """Wait until the request may be sent again: for as long as the server asks, if it does, and
        the next pause. The first pause of a call is logged as a warning: programs and people should
        know why nothing happens.

        Args:
            refusal: what the server has answered.

        Raises:
            QuotaExceeded: it is another refusal, or the time is up.
        """
        if not is_rate_limit(refusal):
            raise refusal
        now = trio.current_time()
        is_first = self._give_up_at is None
        if self._give_up_at is None:
            self._give_up_at = now + self._max_seconds
        pause = next(self._pauses) + retry_after_of(refusal, seconds=self._max_seconds)
        if now + pause >= self._give_up_at:
            raise refusal
        if is_first:
            _log.warning(
                "%s takes no more requests of this key pair for now; waiting for up to %.0f s",
                self._url,
                self._max_seconds,
            )
        await trio.sleep(pause)
