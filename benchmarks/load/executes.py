"""Code that runs at a rate, whatever the gateway makes of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack

from ..processes import CpuTime
from ..rows import Row
from ..servers import gateway
from ..setting import Setting
from ..workers import MeasuringFailed, open_worker
from .figures import amount, p50_and_p99, seconds

__all__ = ["measure_executes"]

A_MINUTE = 10_000
LATE_SECONDS = 1.0
"""The last run may end so long after its turn."""


def measure_executes(setting: Setting) -> Iterator[Row]:
    """Each run prints a number of its own, and it counts when that has come back."""
    duration = setting.count(120, 10)
    kernels = 50
    with ExitStack() as stack:
        folder, env = stack.enter_context(setting.place())
        served = stack.enter_context(gateway(folder / "data", env))
        variables = env | served.variables
        worker = stack.enter_context(open_worker(sys.executable, "ours_load.py", variables))
        worker.ask("kernels", kernels)
        cpu, client = CpuTime(served.pid), CpuTime(worker.pid)
        figures = worker.ask("rate", A_MINUTE / 60, duration)
        cpu_seconds, client_seconds = cpu.seconds(), client.seconds()
        due = round(A_MINUTE / 60 * duration)
        if len(figures["seconds"]) != due:
            raise MeasuringFailed(f"{len(figures['seconds'])} of {due} runs came back")
        title = f"{due:,} runs in {kernels} kernels, {A_MINUTE:,} a minute"
        yield seconds(f"{title}: all done within", figures["all"], most=duration + LATE_SECONDS)
        yield from p50_and_p99(f"{title}: one, from its turn", figures["seconds"])
        yield seconds(f"{title}: CPU of the gateway in each second", cpu_seconds / figures["all"])
        yield seconds(f"{title}: CPU of the client in each second", client_seconds / figures["all"])
        yield seconds(f"{title}: CPU of the gateway for each", cpu_seconds / due)

        most = worker.ask("most", setting.count(30, 5))
        name = f"runs in {kernels} kernels, one after the other in each: in a minute"
        yield amount(name, most["count"] / most["all"] * 60, "count")
