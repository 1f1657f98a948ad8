"""What the groups `load` and `soak` read and reckon."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks.groups.soak import slope
from benchmarks.load.figures import p50_and_p99, refusal
from benchmarks.processes import (
    CpuTime,
    descriptors,
    family,
    peak_bytes,
    proportional_bytes,
    resident_bytes,
    threads,
)
from benchmarks.rows import BARE, OURS
from benchmarks.table import shown
from benchmarks.workers import MeasuringFailed

PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1); input()'])"


def test_processes_of_a_family() -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        found = family(process.pid)
        assert found[0] == process.pid and len(found) == 2
        both, one = proportional_bytes(found), proportional_bytes(found[:1])
        assert both > one > 0
        assert resident_bytes(process.pid) > one
        process.stdin.close()
    assert proportional_bytes(found) == 0
    assert family(found[1]) == [found[1]]


def test_own_figures() -> None:
    pid = os.getpid()
    before = descriptors(pid)
    with open(os.devnull):
        assert descriptors(pid) == before + 1
    assert threads(pid) >= 1
    peak = peak_bytes(pid, reset=True)
    held = bytearray(32 << 20)
    assert peak_bytes(pid) >= peak + (len(held) >> 1)
    cpu = CpuTime(pid)
    while cpu.seconds() < 0.02:
        pass


def test_slope() -> None:
    assert slope([5.0, 7.0, 9.0]) == pytest.approx(2.0)
    assert slope([4.0, 4.0, 4.0, 4.0]) == 0.0
    assert slope([1.0, 9.0, 1.0]) == pytest.approx(0.0)


def test_rows_of_percentiles() -> None:
    half, most = p50_and_p99("echo", [1.0, 2.0, 3.0], before=[0.5], bare="alone")
    assert (half.name, most.name) == ("echo, p50", "echo, p99")
    assert half.samples == {OURS: [2.0], BARE: [0.5]} and most.samples[OURS] == [3.0]


def test_a_refusal_of_another_kind_is_no_figure() -> None:
    figures = {"seconds": 0.25, "how": "QuotaExceeded, 412: too many"}
    assert refusal("one", figures, "QuotaExceeded, 412").samples[OURS] == [0.25]
    with pytest.raises(MeasuringFailed, match="instead of ServerError"):
        refusal("one", figures, "ServerError, 503")


def test_counts_are_whole() -> None:
    assert shown(12_345.0, "count") == "12,345"
