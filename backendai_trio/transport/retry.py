"""Trying again: how long to wait, and which failures may pass."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Awaitable, Callable, Container, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TypeVar

import trio

from ..errors import ApiError, BackendError, ConnectionFailed, WebSocketsBlocked

__all__ = [
    "CHANCE",
    "RATE_LIMITED",
    "REPEATED",
    "TWO_TRANSACTIONS",
    "RetryPolicy",
    "backoff",
    "is_rate_limit",
    "is_refusal",
    "is_transient",
    "retry_after_of",
    "with_retries",
]

T = TypeVar("T")

_log = logging.getLogger("backendai_trio.http")

# Request Timeout, Too Early, Too Many Requests, and the three that gateways and proxies give while
# the server behind them restarts.
_TRANSIENT_STATUSES = frozenset({408, 425, 429, 502, 503, 504})
TWO_TRANSACTIONS = frozenset({500})
"""Statuses of a manager from 20.09 on when two transactions of its database meet. It has done
nothing then, and does what the next request asks."""

CHANCE: ContextVar[Callable[[float, float], float]] = ContextVar("chance", default=random.uniform)
"""Picks a number between two. A simulation sets a seeded generator in each of its tasks."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How soon, how often and for how long a request is repeated.

    Args:
        first: the first pause in seconds, before chance shortens it.
        longest: no pause is longer, in seconds.
        growth: each pause is so many times the one before it.
        jitter: chance shortens each pause by up to this share of it: 0 not at all, 1 down to
            nothing. It keeps clients that lost the same server from coming back all at once.
        retries: how many attempts may follow the first; None for no limit.
        seconds: no attempt begins later than this after the first failure.

    Raises:
        ValueError: a number is negative, `longest` less than `first`, `growth` less than 1, or
            `jitter` more than 1.
    """

    first: float
    longest: float
    growth: float = 2.0
    jitter: float = 0.5
    retries: int | None = None
    seconds: float = math.inf

    def __post_init__(self) -> None:
        if not (
            0 <= self.first <= self.longest
            and self.growth >= 1
            and 0 <= self.jitter <= 1
            and (self.retries is None or self.retries >= 0)
            and self.seconds >= 0
        ):
            raise ValueError(f"not a policy: {self}")

    def pauses(self) -> Iterator[float]:
        """The pauses of one request, in seconds. `seconds` is left to the caller."""
        pause, count = self.first, 0
        while self.retries is None or count < self.retries:
            yield pause * CHANCE.get()(1 - self.jitter, 1.0)
            pause = min(self.growth * pause, self.longest)
            count += 1

    def within(self, seconds: float) -> RetryPolicy:
        """The same policy with another limit of time. If that is less than a limit that it had,
        each pause is shorter in proportion.

        Args:
            seconds: the limit.
        """
        scale = seconds / self.seconds if seconds < self.seconds < math.inf else 1.0
        first, longest = scale * self.first, scale * self.longest
        return replace(self, first=first, longest=longest, seconds=seconds)


# The constants follow from `python -m benchmarks --only retries`: benchmarks/README.md has the
# figures of those chosen and of the others.
REPEATED = RetryPolicy(first=0.5, longest=15.0, seconds=60.0)
"""For requests that may be repeated.

`seconds` outlasts a restart of 20 s: with three repeats 18 % of the requests failed, with this 2 %.
Of the longest pauses, 2 s has clients ask a manager that comes back for 13 times of what it can
answer, 15 s for 5 times, and 30 s for hardly less, while they wait longer. A first pause of 1 s or
2 s asks for a little less, and delays all whose connection has only broken. More jitter gains
nothing."""
RATE_LIMITED = RetryPolicy(first=10.0, longest=60.0, seconds=300.0)
"""For requests beyond the rate limit of a key pair.

Managers count the requests that they refuse, over 15 minutes. Clients that ask again after 1 s, and
every 30 s later on, keep the count above the limit by that, and are locked out for good: 19 % of
the requests failed. With these pauses nearly all were answered, within five minutes."""
_LONGEST_ASKED = 300.0
"""Where requests are repeated without an end, no server is waited for longer than this at once: it
may ask for days."""
_SILENT_PAUSE = 2.0
"""Seconds; a pause of this length or more is logged, with all that may follow."""


def backoff(
    first: float = 0.5, *, longest: float = 5.0, retries: int | None = None
) -> Iterator[float]:
    """Pauses between attempts, in seconds: those of a `RetryPolicy`, for loops of their own.

    Args:
        first: the first pause before chance shortens it.
        longest: no pause is longer.
        retries: how many there are; None for no end. After them the iterator is exhausted.

    Usage::

        pauses = backoff(0.1, retries=4)
        while True:
            try:
                return await attempt()
            except BackendError as exc:
                if not is_transient(exc) or (pause := next(pauses, None)) is None:
                    raise
            await trio.sleep(pause)

    A loop whose attempt got somewhere begins anew with another `backoff`.
    """
    return RetryPolicy(min(first, longest), longest, retries=retries).pauses()


def is_transient(exc: BaseException, *, also: Container[int] = ()) -> bool:
    """Whether the same request may succeed a little later.

    True for a connection that failed, unless the way to the server passes no WebSockets on, and for
    HTTP statuses 408, 425, 429, 502, 503 and 504. It says nothing of whether the request may be
    sent twice: the caller knows that.

    Args:
        exc: how an attempt failed.
        also: further statuses that pass for this request.
    """
    if isinstance(exc, ApiError):
        return exc.status in _TRANSIENT_STATUSES or exc.status in also
    return isinstance(exc, ConnectionFailed) and not isinstance(exc, WebSocketsBlocked)


def is_refusal(exc: ApiError) -> bool:
    """Whether the server has decided not to do what a request asks, rather than failed to.

    Args:
        exc: how it answered.
    """
    return exc.status < 500 and not is_transient(exc)


def is_rate_limit(exc: BaseException) -> bool:
    """Whether the key pair has sent too many requests. If the request's body was at hand, `Client`
    has then waited for `Limits.rate_limited_seconds`.

    Args:
        exc: how an attempt failed.
    """
    return isinstance(exc, ApiError) and exc.status == 429 and exc.kind == "rate-limit-exceeded"


def retry_after_of(exc: BaseException, *, seconds: float) -> float:
    """How many seconds the server asks to wait before the request is repeated; 0 if it does not.

    Args:
        exc: how an attempt failed.
        seconds: for how long the request is repeated. If that is infinite, the result is five
            minutes at most; otherwise the caller gives up where the result leads beyond it.
    """
    asked = exc.retry_after if isinstance(exc, ApiError) else 0.0
    return asked if seconds < math.inf else min(asked, _LONGEST_ASKED)


async def with_retries(
    attempt: Callable[[], Awaitable[T]],
    *,
    policy: RetryPolicy = REPEATED,
    also: Container[int] = (),
) -> T:
    """Run an attempt that may be repeated, and again while its failure is transient.

    A server that asks for a pause (``Retry-After``) gets it, and the policy's pause on top, so that
    those whom it has asked do not all come back at the same time. If it asks for more time than the
    policy has, the failure is raised at once. So is a rate limit, which has pauses of its own:
    `Client` waits it out, and `Sender.wait_out` where the body of a request is a stream.

    The first pause of 2 s or more is logged as a warning: programs and people should know why
    nothing happens.

    Args:
        attempt: what to do. Reads may be repeated, and so may uploads of files: a file that arrives
            a second time replaces the first.
        policy: how soon, how often and for how long.
        also: further HTTP statuses that are transient, as for `is_transient`.

    Returns:
        The result of the attempt that succeeded.

    Raises:
        Exception: the failure of the last attempt.
    """
    pauses = policy.pauses()
    give_up_at = math.inf
    logged = False
    while True:
        try:
            return await attempt()
        except BackendError as exc:
            if not is_transient(exc, also=also) or is_rate_limit(exc):
                raise
            if (pause := next(pauses, None)) is None:
                raise
            pause += retry_after_of(exc, seconds=policy.seconds)
            now = trio.current_time()
            if give_up_at == math.inf:
                give_up_at = now + policy.seconds
            if now + pause > give_up_at:
                raise
            if pause >= _SILENT_PAUSE and not logged:
                logged = True
                limit = "" if give_up_at == math.inf else f" for up to {give_up_at - now:.0f} s"
                _log.warning("%s; trying again%s", exc, limit)
        await trio.sleep(pause)
