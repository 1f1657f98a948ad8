"""Many idle terminals, and one connection too many."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack

from ..processes import CpuTime, descriptors, family, proportional_bytes, resident_bytes
from ..rows import Row
from ..servers import Served, gateway
from ..setting import Setting
from ..workers import Worker, open_worker
from .figures import GATEWAY_BYTES, amount, p50_and_p99, refusal, seconds

__all__ = ["measure_terminals"]

CONNECTIONS = 4000
"""The gateway's limit (`GatewayLimits.max_connections`)."""
KEYS = 1000


def measure_terminals(setting: Setting) -> Iterator[Row]:
    """Each terminal is that of a kernel of its own: a kernel has one, and a second client takes it
    over from the first."""
    count = setting.count(1000, 100)
    title = f"{count:,} idle terminals"
    with ExitStack() as stack:
        folder, env = stack.enter_context(setting.place())
        served = stack.enter_context(gateway(folder / "data", env, "--max-sessions", str(count)))
        variables = env | served.variables
        worker = stack.enter_context(open_worker(sys.executable, "ours_load.py", variables))
        worker.ask("idle_kernels", 2)
        worker.ask("terminals", 1)
        alone = worker.ask("echoes", KEYS)["seconds"]

        client = worker.ask("idle_kernels", count)["memory"]
        own, below = resident_bytes(served.pid), proportional_bytes(family(served.pid)[1:])
        client = worker.ask("terminals", count)["memory"] - client
        own = resident_bytes(served.pid) - own
        processes = family(served.pid)
        below = proportional_bytes(processes[1:]) - below
        yield amount(f"{title}: memory of each, in the gateway", own / (count - 1))
        yield amount(f"{title}: memory of each, its shell", below / (count - 1))
        yield amount(f"{title}: memory of each, in the client", client / (count - 1))
        total = proportional_bytes(processes)
        name = f"{title}: memory of all, their kernels and the gateway"
        yield amount(name, total, most=GATEWAY_BYTES)
        yield amount(f"{title}: open files of the gateway", descriptors(served.pid), "count")
        yield _idle_cpu(title, served, worker)

        echoes = worker.ask("echoes", KEYS)["seconds"]
        name = f"{title}: echo in one of them"
        yield from p50_and_p99(name, echoes, before=alone, bare="only one")
        everywhere = worker.ask("echo_everywhere")["seconds"]
        yield from p50_and_p99(f"{title}: first echo in each", everywhere)
        yield from _beyond(count, worker)


def _idle_cpu(title: str, served: Served, worker: Worker) -> Row:
    seconds_idle = 5.0
    cpu = CpuTime(served.pid)
    worker.ask("pause", seconds_idle)
    return seconds(f"{title}: CPU of the gateway in each second", cpu.seconds() / seconds_idle)


def _beyond(count: int, worker: Worker) -> Iterator[Row]:
    """As many connections as the gateway takes, and one terminal more."""
    worker.ask("fill", CONNECTIONS, 0)
    name = f"a terminal beyond {CONNECTIONS:,} connections"
    yield refusal(name, worker.ask("terminal_too_many"), "ServerError, 503")
    name = f"{count:,} idle terminals and as many connections as there may be: echo in each"
    yield from p50_and_p99(name, worker.ask("echo_everywhere")["seconds"])
    worker.ask("drain")
