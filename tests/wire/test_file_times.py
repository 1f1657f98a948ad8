"""Times of files that servers and archives tell can be set and shown here."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backendai_trio.wire.file_times import known_time

EDGES = (-62_104_060_800, 253_370_764_799)


@pytest.fixture(params=["Pacific/Kiritimati", "UTC", "Pacific/Pago_Pago"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The time zones that are furthest apart."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
@given(st.integers() | st.floats())
@example(EDGES[0])
@example(EDGES[1])
@example(10**400)
@example(float("nan"))
@example(float("-inf"))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_number_can_be_set_and_shown(tmp_path: Path, seconds: float) -> None:
    known = known_time(seconds)
    assert type(known) is type(seconds) and known in (0, seconds)
    assert datetime.fromtimestamp(known).astimezone().year in range(1, 10_000)
    path = tmp_path / "file"
    path.touch()
    os.utime(path, (known, known))


@pytest.mark.parametrize("edge", EDGES)
def test_times_near_the_edges(edge: int) -> None:
    beyond = edge + (1 if edge > 0 else -1)
    assert (known_time(edge), known_time(beyond)) == (edge, 0)
