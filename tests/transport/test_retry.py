"""Pauses between attempts, and failures that may pass."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from backendai_trio.errors import (
    ApiError,
    BackendError,
    ConfigError,
    ConnectionFailed,
    InvalidRequest,
    LocalProtocolError,
    QuotaExceeded,
    RemoteProtocolError,
    WebSocketsBlocked,
    api_error,
)
from backendai_trio.transport.connection_state import ConnectionState
from backendai_trio.transport.rate_limit import RateLimitPauses
from backendai_trio.transport.reconnecting import Reconnecting
from backendai_trio.transport.retry import (
    TWO_TRANSACTIONS,
    RetryPolicy,
    backoff,
    is_transient,
    with_retries,
)

RATE_LIMIT = api_error(429, kind="rate-limit-exceeded")
"""The client has waited for as long as it may, below `with_retries`."""


def test_pauses_double_up_to_the_longest_with_jitter() -> None:
    for _ in range(50):
        pauses = list(islice(backoff(0.1, longest=1.0), 8))
        for pause, whole in zip(pauses, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0], strict=True):
            assert whole / 2 <= pause <= whole
    firsts = {next(backoff(0.1)) for _ in range(20)}
    assert len(firsts) > 1


def test_number_of_retries_is_bounded() -> None:
    assert len(list(backoff(0.1, retries=4))) == 4
    assert list(backoff(0.1, retries=0)) == []
    assert len(list(islice(backoff(0.1), 1000))) == 1000


def test_transient_failures() -> None:
    assert is_transient(ConnectionFailed("gone"))
    transient = {status for status in range(300, 600) if is_transient(api_error(status))}
    assert transient == {408, 425, 429, 502, 503, 504}
    assert is_transient(api_error(409), also=(409,))
    for error in (
        RemoteProtocolError("x"), LocalProtocolError("x"), ConfigError("X", "y"), ValueError("x"),
        WebSocketsBlocked("x"),
    ):  # fmt: skip
        assert not is_transient(error)


@pytest.mark.parametrize(
    ("failures", "options", "attempts"),
    [
        ([], {}, 1),
        ([ConnectionFailed("gone"), api_error(503)], {}, 3),
        ([ConnectionFailed("gone")] * 5, {}, 6),
        ([ConnectionFailed("gone")] * 2, {"policy": RetryPolicy(1.0, 1.0, retries=1)}, 2),
        ([ConnectionFailed("gone")], {"policy": RetryPolicy(1.0, 1.0, retries=0)}, 1),
        ([RATE_LIMIT], {}, 1),
        ([api_error(429)], {}, 2),
        ([api_error(400)], {}, 1),
        ([api_error(500)], {}, 1),
        ([api_error(500), api_error(503)], {"also": TWO_TRANSACTIONS}, 3),
        ([RemoteProtocolError("x")], {}, 1),
    ],
)
async def test_with_retries(
    autojump_clock: object, failures: list[BackendError], options: dict[str, Any], attempts: int
) -> None:
    made = 0
    left = list(failures)

    async def attempt() -> int:  # noqa: ASYNC124
        nonlocal made
        made += 1
        if left:
            raise left.pop(0)
        return made

    if len(failures) < attempts:
        assert await with_retries(attempt, **options) == attempts
    else:
        with pytest.raises(type(failures[-1])):
            await with_retries(attempt, **options)
    assert made == attempts


async def test_with_retries_begins_with_the_given_pause(autojump_clock: object) -> None:
    left = [ConnectionFailed("gone")]

    async def attempt() -> float:  # noqa: ASYNC124
        if left:
            raise left.pop()
        return trio.current_time()

    start = trio.current_time()
    assert 2.0 <= await with_retries(attempt, policy=RetryPolicy(4.0, 5.0)) - start <= 4.0


policies = st.builds(
    lambda first, more, growth, jitter, retries: RetryPolicy(
        first, first + more, growth, jitter, retries
    ),
    st.floats(0, 100),
    st.floats(0, 100),
    st.floats(1, 10),
    st.floats(0, 1),
    st.integers(0, 12),
)


@given(policies)
def test_pauses_of_a_policy(policy: RetryPolicy) -> None:
    pauses = list(policy.pauses())
    assert len(pauses) == policy.retries
    for number, pause in enumerate(pauses):
        whole = min(policy.first * policy.growth**number, policy.longest)
        least = whole * (1 - policy.jitter)
        assert least * 0.999 - 1e-9 <= pause <= whole * 1.001 + 1e-9


@given(policies, st.floats(0, 1e4), st.floats(0, 1e4) | st.just(math.inf))
def test_less_time_makes_shorter_pauses(policy: RetryPolicy, old: float, new: float) -> None:
    policy = replace(policy, seconds=old, jitter=0.0)
    within = policy.within(new)
    assert within.seconds == new and within.growth == policy.growth
    scale = new / old if new < old else 1.0
    for less, pause in zip(within.pauses(), policy.pauses(), strict=True):
        assert less == pytest.approx(pause * scale, abs=1e-9)


@given(policies, st.floats(0, 1e4) | st.just(math.inf))
def test_a_limit_where_there_was_none_leaves_the_pauses(policy: RetryPolicy, new: float) -> None:
    """A policy without end that had no pauses would be a tight loop."""
    assert policy.within(new) == replace(policy, seconds=new)


@pytest.mark.parametrize(
    "fields",
    [
        {"first": -1.0}, {"longest": 0.5}, {"growth": 0.5}, {"jitter": 1.5}, {"jitter": -0.1},
        {"retries": -1}, {"seconds": -1.0},
    ],
)  # fmt: skip
def test_what_is_no_policy(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a policy"):
        RetryPolicy(**{"first": 1.0, "longest": 2.0} | fields)


async def test_no_attempt_begins_after_the_time_of_a_policy(autojump_clock: object) -> None:
    """The time counts from the first failure: an attempt itself may take long."""
    began: list[float] = []

    async def attempt() -> None:
        began.append(trio.current_time())
        await trio.sleep(5.0 if len(began) == 1 else 0.0)
        raise ConnectionFailed("gone")

    start = trio.current_time()
    with pytest.raises(ConnectionFailed):
        await with_retries(attempt, policy=RetryPolicy(0.5, 2.0, seconds=10.0))
    assert len(began) > 5
    assert 5 + 10 - 2 <= began[-1] - start <= 5 + 10


@pytest.mark.parametrize(("asked", "repeated"), [(4.0, True), (11.0, False)])
async def test_a_server_gets_the_pause_that_it_asks_for(
    autojump_clock: object, asked: float, repeated: bool
) -> None:
    """And a policy's own on top; one that is longer than the policy's time is not begun."""
    start = trio.current_time()
    left = [1]

    async def attempt() -> float:  # noqa: ASYNC124
        if left:
            left.pop()
            error = api_error(503)
            error.retry_after = asked
            raise error
        return trio.current_time() - start

    policy = RetryPolicy(2.0, 2.0, seconds=10.0)
    if repeated:
        assert asked + 1.0 <= await with_retries(attempt, policy=policy) <= asked + 2.0
    else:
        with pytest.raises(ApiError):
            await with_retries(attempt, policy=policy)
        assert trio.current_time() == start


@pytest.mark.parametrize(("asked", "waited"), [(60.0, 60.0), (86_400.0, 300.0)])
def test_repeats_without_end_wait_five_minutes_for_a_server(asked: float, waited: float) -> None:
    """It may ask for days, and be up again in a minute."""
    failure, refusal = api_error(503), QuotaExceeded(429, kind="rate-limit-exceeded")
    failure.retry_after = refusal.retry_after = asked
    policy, left = RetryPolicy(2.0, 2.0), [failure]

    async def attempt() -> None:  # noqa: ASYNC124
        if left:
            raise left.pop()

    async def both() -> None:
        for wait in (
            partial(with_retries, attempt, policy=policy),
            partial(RateLimitPauses("http://x", math.inf, policy=policy).wait, refusal),
        ):
            start = trio.current_time()
            await wait()
            assert waited + 1.0 <= trio.current_time() - start <= waited + 2.0

    trio.run(both, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    ("policy", "warning"),
    [
        (RetryPolicy(2.0, 8.0, jitter=0.0, seconds=60.0), "gone; trying again for up to 60 s"),
        (RetryPolicy(1.0, 8.0, jitter=0.0, seconds=60.0), "gone; trying again for up to 59 s"),
        (RetryPolicy(1.0, 8.0, jitter=0.0), "gone; trying again"),
        (RetryPolicy(1.0, 1.5, jitter=0.0, seconds=60.0), None),
    ],
)
async def test_first_long_pause_is_logged(
    autojump_clock: object,
    caplog: pytest.LogCaptureFixture,
    policy: RetryPolicy,
    warning: str | None,
) -> None:
    """Whoever waits for an upload sees why."""
    left = [ConnectionFailed("gone")] * 3

    async def attempt() -> None:  # noqa: ASYNC124
        if left:
            raise left.pop()

    with caplog.at_level(logging.WARNING):
        await with_retries(attempt, policy=policy)
    assert caplog.messages == ([warning] if warning else [])


async def test_stream_outlasts_a_page_in_place_of_its_websocket(autojump_clock: object) -> None:
    """The way has passed its first WebSocket on."""
    left: list[BackendError] = [WebSocketsBlocked("back soon"), api_error(500), api_error(400)]

    async def connect() -> None:  # noqa: ASYNC124
        if left:
            raise left.pop(0)

    def reconnecting() -> Reconnecting:
        return Reconnecting(60.0, "http://127.0.0.1:1", ConnectionState())

    with pytest.raises(InvalidRequest):
        await reconnecting().run(connect)
    left.append(WebSocketsBlocked("back soon"))
    await reconnecting().run(connect)
    assert not left
