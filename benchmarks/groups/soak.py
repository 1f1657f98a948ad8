"""A day of usual work in half an hour: what a gateway has at its end and did not have before."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..processes import descriptors, family, resident_bytes, threads
from ..rows import OURS, Limit, Row
from ..servers import gateway
from ..setting import Setting
from ..workers import MeasuringFailed, Worker, open_worker

NAME = "soak"
TITLE = "A day of usual work, compressed"
DAY_MINUTES = 30.0
DAY_KERNELS = 1200
"""How many kernels a usual day has; `clients/ours_soak.py` says what each is used for."""
ROUND_MINUTES = 3.0
IDLE_SECONDS = 10
"""The gateway ends kernels that were not used for so long."""
GROWTH_BYTES = 8 * 2**20
SETTLED_SECONDS = 12.0
"""So long nothing changes when all is over: threads that Trio keeps for later calls have ended."""
PATIENCE_SECONDS = 90.0


def measure(setting: Setting) -> Iterator[Row]:
    minutes = setting.minutes or setting.count(30, 2)
    rounds = max(2, round(minutes / ROUND_MINUTES))
    seconds = minutes * 60 / rounds
    kernels = max(1, round(DAY_KERNELS * seconds / 60 / DAY_MINUTES))
    done: Counter[str] = Counter()
    with ExitStack() as stack:
        folder, env = stack.enter_context(setting.place())
        options = ["--idle-timeout", str(IDLE_SECONDS)]
        served = stack.enter_context(gateway(folder / "data", env, *options))
        variables = env | served.variables
        worker = stack.enter_context(open_worker(sys.executable, "ours_soak.py", variables))
        found = []
        # Two rounds before the others, in half the time, fill what is kept for later.
        for number in range(-1, rounds + 1):
            counts = worker.ask("use", kernels, seconds if number > 0 else seconds / 2)
            if number > 0:
                done.update(counts)
            state = _settled(served.pid, folder, worker)
            print(f"  {state.line}", file=sys.stderr)
            if number >= 0:
                found.append(state)
    title = f"{minutes:g} minutes"
    for what, count in done.items():
        yield Row(NAME, f"{title}: {what}", {OURS: [count]}, "count")
    yield from _left(title, found)


@dataclass(frozen=True)
class _State:
    """What there is when nobody uses the gateway."""

    memory: int
    fds: int
    threads: int
    processes: int
    files: frozenset[str]
    client_memory: int
    client_fds: int

    @property
    def line(self) -> str:
        return (
            f"memory {self.memory / 1e6:.1f} MB, fds {self.fds}, threads {self.threads}, "
            f"processes {self.processes}, files {len(self.files)}; "
            f"client: memory {self.client_memory / 1e6:.1f} MB, fds {self.client_fds}"
        )


def _settled(pid: int, folder: Path, worker: Worker) -> _State:
    """The state once it has not changed for a while."""
    start = changed = time.monotonic()
    state = _state(pid, folder, worker)
    while time.monotonic() < start + PATIENCE_SECONDS:
        time.sleep(0.5)
        before, state = state, _state(pid, folder, worker)
        if _counts(before) != _counts(state):
            changed = time.monotonic()
        elif time.monotonic() > changed + SETTLED_SECONDS and state.processes == 1:
            return state
    raise MeasuringFailed(f"the gateway did not come to rest: {state.line}")


def _counts(state: _State) -> tuple[object, ...]:
    return state.fds, state.threads, state.processes, state.files, state.client_fds


def _state(pid: int, folder: Path, worker: Worker) -> _State:
    own = worker.ask("own")
    return _State(
        memory=resident_bytes(pid),
        fds=descriptors(pid),
        threads=threads(pid),
        processes=len(family(pid)),
        files=frozenset(str(path) for path in folder.rglob("*")),
        client_memory=own["bytes"],
        client_fds=own["fds"],
    )


def _left(title: str, found: Sequence[_State]) -> Iterator[Row]:
    """What there is after the last round and was not there before the first."""
    first, last = found[0], found[-1]
    more: dict[str, float] = {
        "open files": last.fds - first.fds,
        "threads": last.threads - first.threads,
        "processes": last.processes - first.processes,
        "files on the disk": len(last.files - first.files),
        "open files of the client": last.client_fds - first.client_fds,
    }
    for what, count in more.items():
        yield Row(NAME, f"{title}: more {what}", {OURS: [count]}, "count", limit=Limit(0))
    for whose, sizes in (
        ("gateway", [state.memory for state in found]),
        ("client", [state.client_memory for state in found]),
    ):
        name = f"{title}: growth of the {whose}"
        growth = [float(sizes[-1] - sizes[0])]
        yield Row(NAME, name, {OURS: growth}, "bytes", limit=Limit(GROWTH_BYTES))
        name = f"{title}: slope of the memory of the {whose} over all of it"
        yield Row(NAME, name, {OURS: [slope(sizes) * (len(sizes) - 1)]}, "bytes")


def slope(values: Sequence[float]) -> float:
    """How much they grow from one to the next, by least squares."""
    middle = (len(values) - 1) / 2
    mean = sum(values) / len(values)
    products = [(number - middle) * (value - mean) for number, value in enumerate(values)]
    return sum(products) / sum((number - middle) ** 2 for number in range(len(values)))
