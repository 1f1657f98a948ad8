"""Streams on a gateway: output, echoes of keys, resizes and interrupts."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from ..peers import USUAL
from ..rows import BARE, OURS, Limit, Row
from ..servers import gateway
from ..setting import Setting
from ..turns import in_turns
from ..workers import MeasuringFailed, Worker, open_worker

NAME = "streams"
TITLE = "Streams on a gateway"
ECHO_RATIO = 1.15
"""The most that an echo may take, in times of the official client's."""
STOP_SECONDS = 0.05
RESIZE_SECONDS = 1.0
TURN_KEYS = 50
QUIET_SECONDS = 0.5
"""Before the first key: a new kernel goes on starting for a while."""
MIB = 1 << 20


def measure(setting: Setting) -> Iterator[Row]:
    size = setting.count(100 * MIB, 32 * MIB)
    with setting.place() as (folder, env), ExitStack() as stack:
        served = env | stack.enter_context(gateway(folder / "data", env)).variables
        workers = {
            who: stack.enter_context(open_worker(python, program, served))
            for who, (python, program) in clients(setting).items()
        }
        rounds = setting.round_count(5, 2)

        def row(name: str, order: tuple[object, ...], bare: str = "", **more: object) -> Row:
            who = [*workers] if bare else [name for name in workers if name != BARE]
            runtime = order[1] if order[0] == "interrupt" else "python"
            measures = {one: once(workers[one], runtime, order) for one in who}
            samples = in_turns(measures, rounds)
            return Row(NAME, name, samples, bare=bare, **more)  # type: ignore[arg-type]

        mib = f"{size // MIB} MiB"
        limit = Limit(1, USUAL)
        yield row(
            f"terminal, {mib} of output",
            ("terminal", size),
            "a local terminal",
            size=size,
            limit=limit,
            headline=True,
        )
        yield row(
            f"streaming execute, {mib} of output",
            ("execute", size),
            "a pipe",
            size=size,
            limit=limit,
            headline=True,
        )
        yield from _echo_rows(setting, workers, rounds)
        yield row("resize, until stty tells it", ("resize",), limit=Limit(RESIZE_SECONDS))
        for runtime, language in (("python", "Python"), ("c", "C")):
            name = f"interrupt of a busy loop, {language}"
            yield row(name, ("interrupt", runtime), limit=Limit(STOP_SECONDS))


def clients(setting: Setting) -> dict[str, tuple[Path | str, str]]:
    """The Python and the program of each client."""
    found: dict[str, tuple[Path | str, str]] = {OURS: (sys.executable, "ours_streams.py")}
    if setting.usual is not None:
        found[USUAL] = (setting.usual / "python", "official_streams.py")
    return found | {BARE: (sys.executable, "bare_streams.py")}


def once(worker: Worker, runtime: object, order: tuple[object, ...]) -> Callable[[], float]:
    """A measurement in a kernel of its own."""

    def measure() -> float:
        worker.ask("open", runtime)
        try:
            seconds = worker.seconds(*order)
        except MeasuringFailed:
            with suppress(MeasuringFailed):  # the first failure is the one to tell
                worker.ask("close")
            raise
        worker.ask("close")
        return seconds

    return measure


def _echo_rows(setting: Setting, workers: Mapping[str, Worker], rounds: int) -> Iterator[Row]:
    """Echoes of keys.

    Their tail is mostly the machine's, whose bad moments last for some tens of milliseconds. So
    the clients take turns as short, each in a terminal that stays open.
    """
    turns = setting.count(60, 20)
    samples: dict[str, dict[str, list[float]]] = {"p50": {}, "p99": {}}
    for number in range(rounds):
        taken: dict[str, list[float]] = {who: [] for who in workers}
        for worker in workers.values():
            worker.ask("open", "python")
            worker.ask("echo")
        time.sleep(QUIET_SECONDS)
        for turn in range(turns):
            for who in sorted(workers, reverse=(turn + number) % 2 == 0):
                taken[who] += workers[who].ask("keys", TURN_KEYS)["seconds"]
        for worker in workers.values():
            worker.ask("close")
        for who, seconds in taken.items():
            parts = statistics.quantiles(seconds, n=100)
            samples["p50"].setdefault(who, []).append(parts[49])
            samples["p99"].setdefault(who, []).append(parts[98])
    for part, found in samples.items():
        yield Row(
            NAME,
            f"echo of a key in a terminal, {part}",
            found,
            bare="a local terminal",
            limit=Limit(ECHO_RATIO, USUAL),
            headline=part == "p50",
        )
