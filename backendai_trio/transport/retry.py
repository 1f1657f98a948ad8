"""Trying again: how long to wait, and which failures may pass."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Container, Iterator
from typing import TypeVar

import trio

from ..errors import ApiError, BackendError, ConnectionFailed, WebSocketsBlocked

__all__ = ["TWO_TRANSACTIONS", "backoff", "is_refusal", "is_transient", "with_retries"]

T = TypeVar("T")

# Request Timeout, Too Early, Too Many Requests, and the three that gateways and proxies give while
# the server behind them restarts.
_TRANSIENT_STATUSES = frozenset({408, 425, 429, 502, 503, 504})
TWO_TRANSACTIONS = frozenset({500})
"""Statuses of a manager from 20.09 on when two transactions of its database meet. It has done
nothing then, and does what the next request asks."""


def backoff(
    first: float = 0.5, *, longest: float = 5.0, retries: int | None = None
) -> Iterator[float]:
    """Pauses between attempts, in seconds. Each is twice the one before it, less up to a half by
    chance, so that clients that lost the same server do not come back all at once.

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
    pause = first
    count = 0
    while retries is None or count < retries:
        yield min(pause, longest) * random.uniform(0.5, 1.0)  # noqa: S311
        pause = min(2 * pause, longest)
        count += 1


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


async def with_retries(
    attempt: Callable[[], Awaitable[T]],
    *,
    also: Container[int] = (),
    retries: int = 3,
    first: float = 0.5,
) -> T:
    """Run an attempt that may be repeated, and again while its failure is transient.

    Args:
        attempt: what to do. Reads may be repeated, and so may uploads of files: a file that arrives
            a second time replaces the first.
        also: further HTTP statuses that are transient, as for `is_transient`.
        retries: how many attempts may follow the first.
        first: the first pause, in seconds, as for `backoff`.

    Returns:
        The result of the attempt that succeeded.

    Raises:
        Exception: the failure of the last attempt.
    """
    pauses = backoff(first, retries=retries)
    while True:
        try:
            return await attempt()
        except BackendError as exc:
            if not is_transient(exc, also=also) or (pause := next(pauses, None)) is None:
                raise
        await trio.sleep(pause)
