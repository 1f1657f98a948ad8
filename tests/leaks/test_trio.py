"""Every call of the Trio API, cancelled at random steps of it: nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from ..faults.test_matrix import ROWS
from .cancelled_rows import Tally, cancel_row
from .rounds import chance, share

LEAST = 3
"""So often each row that is tried is cancelled."""


def chosen(scheme: str) -> list[tuple[str, int]]:
    """The rows to try, and how often each is cancelled."""
    rounds = share(30, LEAST)
    names = sorted(ROWS)
    chance("rows", scheme).shuffle(names)
    names = names[: max(1, rounds // LEAST)]
    return [(name, len(range(index, rounds, len(names)))) for index, name in enumerate(names)]


CASES = [
    pytest.param(scheme, name, rounds, id=f"{scheme}-{name}-{rounds}")
    for scheme in ("http", "https")
    for name, rounds in chosen(scheme)
]


@pytest.mark.parametrize(("scheme", "name", "rounds"), CASES)
def test_row(scheme: str, name: str, rounds: int, tmp_path: Path, gateway_parent: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    pick = chance(scheme, name)

    async def main() -> Tally:
        return await cancel_row(
            ROWS[name], folder, gateway_parent, pick, rounds, tls=scheme == "https"
        )

    tally = trio.run(main)
    assert tally.rounds == rounds
