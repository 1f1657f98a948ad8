"""Many Python kernels at once, and one too many."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

from ..processes import CpuTime, descriptors, family, proportional_bytes, resident_bytes, threads
from ..rows import BARE, OURS, Row
from ..servers import Served, gateway
from ..setting import Setting
from ..workers import Worker, open_worker
from .figures import GATEWAY_BYTES, NAME, amount, p50_and_p99, refusal, seconds

__all__ = ["measure_kernels"]

BUSY_SECONDS = 6.0
FIRST = 2
"""Kernels that load what all need; they do not count."""


def measure_kernels(setting: Setting) -> Iterator[Row]:
    """Each kernel has run code once; then code runs in all of them, and one more is asked for."""
    count = setting.count(500, 50)
    title = f"{count:,} Python kernels"
    with ExitStack() as stack:
        folder, env = stack.enter_context(setting.place())
        most = ["--max-sessions", str(count), "--max-waiting", "0"]
        served = stack.enter_context(gateway(folder / "data", env, *most))
        variables = env | served.variables
        worker = stack.enter_context(open_worker(sys.executable, "ours_load.py", variables))
        worker.ask("kernels", FIRST)
        few: list[float] = []
        cpu = CpuTime(served.pid)
        for _ in range(50):
            few += worker.ask("executes")["seconds"]
        cpu_of_few = cpu.seconds() / (2 * len(few))
        processes = family(served.pid)
        before = resident_bytes(served.pid), proportional_bytes(processes[1:])

        start = time.monotonic()
        created = worker.ask("kernels", count)["seconds"]
        yield seconds(f"{title}: created, two at a time, within", time.monotonic() - start)
        yield from p50_and_p99(f"{title}: create of one and its first run", created)

        processes = family(served.pid)
        own, below = resident_bytes(served.pid), proportional_bytes(processes[1:])
        added = count - FIRST
        yield amount(f"{title}: memory of each, in the gateway", (own - before[0]) / added)
        yield amount(f"{title}: memory of each, its own processes", (below - before[1]) / added)
        total = proportional_bytes(processes)
        yield amount(f"{title}: memory of all and the gateway", total, most=GATEWAY_BYTES)
        yield amount(f"{title}: processes", len(processes), "count")
        yield amount(f"{title}: open files of the gateway", descriptors(served.pid), "count")
        yield amount(f"{title}: threads of the gateway", threads(served.pid), "count")

        cpu = CpuTime(served.pid)
        figures = worker.ask("executes")
        samples = {OURS: [cpu.seconds() / (2 * count)], BARE: [cpu_of_few]}
        name = f"{title}: CPU of the gateway for a run"
        yield Row(NAME, name, samples, bare=f"with {FIRST}")
        name = f"{title}: run of code in each"
        yield from p50_and_p99(name, figures["seconds"], before=few, bare=f"with {FIRST}")
        yield seconds(f"{title}: run of code in all of them at once, within", figures["all"])

        yield _busy(title, served, worker)
        refused = worker.ask("kernel_too_many")
        yield refusal(f"kernel {count + 1:,}", refused, "QuotaExceeded, 412")
        name = f"{title}: run of code in each, after that"
        yield from p50_and_p99(name, worker.ask("executes")["seconds"])
        yield from p50_and_p99(f"{title}: destroy of one", worker.ask("destroy")["seconds"])
        left = len(family(served.pid)) - 1
        yield amount(f"{title}: processes left of them", left, "count", most=0)


def _busy(title: str, served: Served, worker: Worker) -> Row:
    """The gateway's work for programs that run and say nothing: whether they wait for input, and
    what their clients ask."""
    worker.ask("sleep_everywhere", 2 * BUSY_SECONDS)
    cpu = CpuTime(served.pid)
    worker.ask("pause", BUSY_SECONDS)
    name = f"{title} that all run a program: CPU of the gateway in each second"
    row = seconds(name, cpu.seconds() / BUSY_SECONDS)
    worker.ask("slept")
    return row
