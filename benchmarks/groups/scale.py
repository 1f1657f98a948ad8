"""Many kernels and idle terminals: what each costs, and whether the cost grows linearly."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack

from ..processes import resident_bytes
from ..rows import BARE, OURS, Limit, Row
from ..servers import gateway, null_server
from ..setting import Setting
from ..workers import MeasuringFailed, open_worker

NAME = "scale"
TITLE = "Kernels and idle terminals held by one process"
LINEAR = 1.25
"""The most that a unit may take among many, in times of a unit among few."""
MEMORY = "memory of a client with kernels and idle terminals"
CPU = "CPU in each second of a client with idle terminals"
ECHO = "echo in one of the terminals of a client"
GATEWAY = "memory of a gateway with kernels"
RUN = "run of code in one of the kernels of a gateway"


def measure(setting: Setting) -> Iterator[Row]:
    yield from _of_a_client(setting)
    yield from _of_a_gateway(setting)


def _of_a_client(setting: Setting) -> Iterator[Row]:
    """Against a server that costs nothing: each kernel with a terminal, by one process."""
    counts = (30, 100, 300) if setting.quick else (100, 300, 1000)
    found: dict[int, dict[str, list[float]]] = {count: {} for count in counts}
    with setting.place() as (_, env), null_server(env) as server:
        for _ in range(setting.round_count(3, 1)):
            with open_worker(sys.executable, "ours_scale.py", env | server.variables) as worker:
                worker.ask("start")
                for count in counts:
                    for name, value in worker.ask("terminals", count).items():
                        found[count].setdefault(name, []).append(float(value))
    yield from _series(MEMORY, "bytes", {count: found[count]["bytes"] for count in counts})
    yield from _series(CPU, "s", {count: found[count]["cpu"] for count in counts})
    yield from _series(ECHO, "s", {count: found[count]["echo"] for count in counts})
    yield _linear(MEMORY, {count: found[count]["bytes"] for count in counts}, headline=True)


def _of_a_gateway(setting: Setting) -> Iterator[Row]:
    counts = (5, 10, 20) if setting.quick else (10, 30, 100)
    memory: dict[int, list[float]] = {}
    seconds: dict[int, list[float]] = {}
    with ExitStack() as stack:
        folder, env = stack.enter_context(setting.place())
        served = stack.enter_context(gateway(folder / "data", env))
        variables = env | served.variables
        worker = stack.enter_context(open_worker(sys.executable, "ours_scale.py", variables))
        worker.ask("kernels", 2)  # the first ones load what all need
        before = resident_bytes(served.pid)
        for count in counts:
            seconds[count] = [worker.seconds("kernels", count)]
            memory[count] = [max(1.0, float(resident_bytes(served.pid) - before))]
    yield from _series(GATEWAY, "bytes", memory)
    yield from _series(RUN, "s", seconds)


def _series(name: str, unit: str, samples: dict[int, list[float]]) -> Iterator[Row]:
    for count, values in samples.items():
        title = f"{name}: {count:,}"
        yield Row(NAME, title, {OURS: values}, unit, x=float(count), series=name)


def _linear(name: str, samples: dict[int, list[float]], *, headline: bool) -> Row:
    """What a unit takes among many, beside what it takes among few."""
    few, many = min(samples), max(samples)
    if min(samples[few]) <= 0:
        raise MeasuringFailed(f"{name}: {few} of them took no memory that could be seen")
    each = {
        OURS: [value / many for value in samples[many]],
        BARE: [value / few for value in samples[few]],
    }
    title = f"{name}: each of {many:,}"
    bare = f"each of {few}"
    return Row(NAME, title, each, "bytes", bare=bare, limit=Limit(LINEAR, BARE), headline=headline)
