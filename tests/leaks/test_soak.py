"""A minute of a usual day on a gateway in a process of its own, as `benchmarks` measures it."""

from __future__ import annotations

import json
from pathlib import Path

from ..benchmarks.command import benchmarks

SECONDS = 600
MEMORY_BYTES = 16 * 2**20
"""So short, the memory still grows by what is kept for later; half an hour tells more."""


def test_nothing_is_left_of_a_minute(tmp_path: Path) -> None:
    report = tmp_path / "soak.json"
    options = ["--only", "soak", "--no-peers", "--minutes", "1", "--json", report]
    done = benchmarks(*options, seconds=SECONDS)
    assert done.returncode == 0, done.stderr
    rows = json.loads(report.read_text())["rows"]
    figures = {row["name"].partition(": ")[2]: row["samples"]["ours"][0] for row in rows}
    # The figures of what was done: else nothing would be left of nothing.
    for what in ("kernels", "runs of code", "uploads", "terminals", "cut connections"):
        assert figures[what] >= 10, figures
    assert figures["kernels left to the idle timeout"] >= 2
    left = {what: count for what, count in figures.items() if what.startswith("more ") and count}
    assert not left, done.stderr
    assert figures["growth of the gateway"] < MEMORY_BYTES, done.stderr
