"""Pauses between attempts, and failures that may pass."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import trio

from backendai_trio.errors import (
    BackendError,
    ConfigError,
    ConnectionFailed,
    InvalidRequest,
    LocalProtocolError,
    RemoteProtocolError,
    WebSocketsBlocked,
    api_error,
)
from backendai_trio.transport.connection_state import ConnectionState
from backendai_trio.transport.reconnecting import Reconnecting
from backendai_trio.transport.retry import (
    TWO_TRANSACTIONS,
    backoff,
    is_transient,
    with_retries,
)


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
        ([ConnectionFailed("gone")] * 4, {}, 4),
        ([ConnectionFailed("gone")] * 2, {"retries": 1}, 2),
        ([ConnectionFailed("gone")], {"retries": 0}, 1),
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
    assert 2.0 <= await with_retries(attempt, first=4.0) - start <= 4.0


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
