"""Many uploads at once, and more than a gateway takes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from ..processes import peak_bytes, resident_bytes
from ..rows import OURS, Row
from ..servers import gateway
from ..setting import Setting
from ..workers import MeasuringFailed, Worker, open_worker
from .figures import NAME, amount, p50_and_p99, seconds
from .terminals import CONNECTIONS

__all__ = ["measure_uploads"]

MIB = 1 << 20
COUNT = 200
FREE = 40
"""How many connections are left for `COUNT` uploads."""
GROWTH = 1 << 29
"""The most that a gateway may grow by, whatever is uploaded."""


def measure_uploads(setting: Setting) -> Iterator[Row]:
    """Half of the uploads go to kernels, half to virtual folders. Meanwhile another client runs
    code, and creates kernels."""
    size = setting.count(16 * MIB, 2 * MIB)
    targets = 50
    title = f"{COUNT} uploads of {size // MIB} MiB at once"
    quota = 4 * size
    with ExitStack() as stack:
        folder, env = stack.enter_context(setting.place())
        options = ["--max-sessions", "200", "--folder-quota", str(quota)]
        served = stack.enter_context(gateway(folder / "data", env, *options))
        variables = env | served.variables
        other = stack.enter_context(open_worker(sys.executable, "ours_load.py", variables))
        worker = stack.enter_context(open_worker(sys.executable, "ours_load_files.py", variables))
        worker.ask("targets", targets, targets)
        worker.ask("files", "warm", 2 * targets, MIB)
        worker.ask("upload", "warm")
        worker.ask("files", "many", COUNT, size)

        other.ask("kernels", 4)
        quiet = _watched(other, 3)
        before = resident_bytes(served.pid)
        peak_bytes(served.pid, reset=True)
        other.ask("watch")
        figures = worker.ask("upload", "many")
        watched = other.ask("watched")
        growth = peak_bytes(served.pid) - before
        _check(figures, COUNT)
        yield Row(NAME, f"{title}: all", {OURS: [figures["all"]]}, size=COUNT * size)
        yield from p50_and_p99(f"{title}: one", figures["seconds"])
        yield amount(f"{title}: growth of the gateway at its most", growth, most=GROWTH)
        name = f"{title}: run of code of another client"
        yield from p50_and_p99(name, watched["runs"], before=quiet["runs"], bare="before")
        name = f"{title}: create of a kernel of another client"
        yield from p50_and_p99(name, watched["creates"], before=quiet["creates"], bare="before")
        yield from _beyond(worker, other, quota)


def _watched(other: Worker, seconds_watched: float) -> dict[str, Any]:
    other.ask("watch")
    other.ask("pause", seconds_watched)
    return other.ask("watched")


def _beyond(worker: Worker, other: Worker, quota: int) -> Iterator[Row]:
    """More uploads than there are connections, and files larger than there is room for."""
    worker.ask("files", "crowd", COUNT, MIB)
    other.ask("fill", CONNECTIONS, FREE)
    figures = worker.ask("upload", "crowd")
    other.ask("drain")
    _check(figures, COUNT)
    name = f"{COUNT} uploads, and {FREE} connections, tried again when refused: all done within"
    yield seconds(name, figures["all"])

    worker.ask("files", "large", 4, quota + MIB)
    figures = worker.ask("upload", "large")
    if sum(figures["errors"].values()) != 2 or figures["damaged"]:
        raise MeasuringFailed(f"uploads beyond the quota: {figures}")
    name = f"uploads beyond the quota of a virtual folder: refused ({_kinds(figures)})"
    yield amount(name, 2, "count")
    yield seconds("uploads beyond the quota: done within", figures["all"])
    yield amount("uploads beyond the quota: left in part", figures["partial"], "count", most=0)


def _check(figures: Mapping[str, Any], count: int) -> None:
    taken = len(figures["seconds"])
    if figures["damaged"] or figures["partial"] or taken != count:
        raise MeasuringFailed(f"{taken} uploads were taken: {figures['errors']}, {figures}")


def _kinds(figures: Mapping[str, Any]) -> str:
    return "; ".join(sorted(figures["errors"]))
