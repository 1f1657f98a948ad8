"""What connections read at once, and what waits for the application, however many there are."""

from __future__ import annotations

from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from backendai_trio._read_share import QUEUE_PLACES, ReadShare

KIB, MIB = 1 << 10, 1 << 20


@given(st.integers(1, 4000))
def test_all_connections_together(count: int) -> None:
    shares = ReadShare()
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(shares.connection()).note(64 * KIB)
        each, places = shares.read_bytes, shares.places
        assert 64 * KIB <= each <= MIB and 1 <= places <= QUEUE_PLACES
        assert count * each <= max(8 * MIB, count * 64 * KIB)
        waiting = count * each * (QUEUE_PLACES // places)
        assert waiting <= max(64 * MIB, count * 64 * KIB)
    assert shares.read_bytes == MIB and shares.places == 1


def test_small_requests_leave_large_ones_their_share() -> None:
    shares = ReadShare()
    with ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(shares.connection()).note(300)
        large = stack.enter_context(shares.connection())
        large.note(MIB)
        assert large.read_bytes == MIB and large.places == 1
        large.note(300)
        assert shares.read_bytes == MIB
