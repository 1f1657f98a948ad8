"""How fast streams are, beside the official client; README.md here says how to read it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from setting import backend_ai, clean_environment, installed_peer, served
from streams_work import BUSY, ECHO, KEYS, MEASURES, OUTPUT_BYTES, SETTLE_SECONDS

HERE = Path(__file__).parent
OFFICIAL = "backend.ai-client==23.9.10"
REQUIREMENTS = [f"{OFFICIAL} yarl<1.10"]  # newer ones lack what it imports
STOP_MS = 50.0
RESIZE_MS = 1000.0
ECHO_RATIO = 1.15
"""The most that an echo may take, in times of the peer's."""
PATIENCE_SECONDS = 120.0
ECHO_TURNS = 200
"""Of each client in a round: 10,000 keys."""

# For Ctrl-C in `backend.ai run`: each tells when, or by whose end, it has stopped.
TELLS_WHEN = (
    "import time\ntry:\n    print('up', flush=True)\n    while True: pass\n"
    "except KeyboardInterrupt:\n    print(time.time())\n"
)
TELLS_WHO = (
    BUSY["c"]
    .replace('puts("up")', 'printf("up %d\\n", getpid())')
    .replace("#include", "#include <unistd.h>\n#include", 1)
)


@dataclass(frozen=True)
class Figure:
    """What was measured: medians of all rounds."""

    name: str
    unit: str
    peer: float | None
    ours: float
    ratio: float | None
    """How many times as fast ours is: the median of the rounds' own ratios. Machines have slow
    minutes, which swing both clients' figures by a factor of two; a round's ratio they leave be."""
    limit: float | None
    """One of the project's own; without it, `factor` times the peer's figure is the limit."""
    spread: tuple[float, float]
    """The least and the most of ours."""
    factor: float = 1.0

    @property
    def verdict(self) -> str:
        if self.limit is not None:
            return "within" if self.ours <= self.limit else "SLOWER"
        if self.ratio is None:
            return ""
        return "within" if self.ratio * self.factor >= 1 else "SLOWER"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure streams beside the official client.")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="rounds of each [9]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--peer-venv", type=Path, metavar="DIR", help=f"a venv that has {OFFICIAL} already"
    )
    parser.add_argument("--no-peer", action="store_true", help="leave the official client out")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be 1 or more")
    # A shell starts programs in the background with Ctrl-C ignored, which children inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    with tempfile.TemporaryDirectory(prefix="backendai-streams-") as folder, ExitStack() as stack:
        plain = clean_environment(Path(folder))
        env = plain | stack.enter_context(served(Path(folder), plain)).variables
        workers = {"ours": stack.enter_context(worker([sys.executable, "streams_ours.py"], env))}
        if not arguments.no_peer:
            venv = arguments.peer_venv or installed_peer("23.9.10", REQUIREMENTS)
            python = str(venv / "bin" / "python")
            workers["peer"] = stack.enter_context(worker([python, "streams_peer.py"], env))
        load_before = os.getloadavg()[0]
        figures = measure(workers, env, arguments.rounds)
    load = (load_before, os.getloadavg()[0])
    if arguments.json:
        print(json.dumps(report(figures, arguments.rounds, load), indent=2))
    else:
        print_table(figures, arguments.rounds, load)


@contextmanager
def worker(argv: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A client that waits for orders; see streams_work.py."""
    with subprocess.Popen(
        argv, cwd=HERE, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def ask(process: subprocess.Popen[str], order: str) -> dict[str, list[float]]:
    """Have a client measure something."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{order}\n")
    process.stdin.flush()
    ready, _, _ = select.select([process.stdout], [], [], PATIENCE_SECONDS)
    answer = process.stdout.readline() if ready else ""
    if not answer:
        sys.exit(f"{process.args!r} did not measure {order!r}")
    figures: dict[str, list[float]] = json.loads(answer)
    return figures


def measure(
    workers: dict[str, subprocess.Popen[str]], env: dict[str, str], rounds: int
) -> list[Figure]:
    """Let the clients take turns, so that whatever else the machine does hits both alike."""
    taken: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds + 1):
        for order in MEASURES:
            # There and back: what changes slowly hits both alike.
            once = sorted(workers, reverse=number % 2 == 0)
            figures: dict[tuple[str, str], list[float]] = {}
            for who in once + once[::-1]:
                for key, seconds in ask(workers[who], order).items():
                    figures.setdefault((who, f"{order} {key}"), []).extend(seconds)
            if number > 0:  # the first round fills caches
                for place, values in figures.items():
                    taken.setdefault(place, []).append(statistics.fmean(values))
        for who, echoes in type_keys(workers).items():
            if number > 0:
                parts = statistics.quantiles(echoes, n=100)
                taken.setdefault((who, "echo p50"), []).append(parts[49])
                taken.setdefault((who, "echo p99"), []).append(parts[98])
        for runtime in ("python", "c"):
            seconds = stop_by_ctrl_c(runtime, env)
            if number > 0:
                taken.setdefault(("ours", f"ctrl-c {runtime}"), []).append(seconds)

    def figure(
        name: str, unit: str, key: str, limit: float | None = None, factor: float = 1.0
    ) -> Figure:
        def convert(seconds: float) -> float:
            return OUTPUT_BYTES / 1e6 / seconds if unit == "MB/s" else seconds * 1000

        ours = taken["ours", key]
        theirs = taken.get(("peer", key), [])
        ratios = [slow / fast for slow, fast in zip(theirs, ours, strict=bool(theirs))]
        converted = [convert(seconds) for seconds in ours]
        return Figure(
            name,
            unit,
            convert(statistics.median(theirs)) if theirs else None,
            convert(statistics.median(ours)),
            statistics.median(ratios) if ratios else None,
            limit,
            (min(converted), max(converted)),
            factor,
        )

    return [
        figure("terminal, 100 MiB of output", "MB/s", "terminal seconds"),
        figure("streaming execution, 100 MiB", "MB/s", "execute seconds"),
        figure("echo of a key in a terminal, p50", "ms", "echo p50", factor=ECHO_RATIO),
        figure("echo of a key in a terminal, p99", "ms", "echo p99", factor=ECHO_RATIO),
        figure("resize, until stty tells it", "ms", "resize seconds", RESIZE_MS),
        figure("interrupt, python", "ms", "interrupt python seconds", STOP_MS),
        figure("interrupt, C", "ms", "interrupt c seconds", STOP_MS),
        figure("Ctrl-C in backend.ai run, python", "ms", "ctrl-c python", STOP_MS),
        figure("Ctrl-C in backend.ai run, C", "ms", "ctrl-c c", STOP_MS),
    ]


def type_keys(workers: dict[str, subprocess.Popen[str]]) -> dict[str, list[float]]:
    """The seconds of each key's echo, with the clients taking short turns."""
    taken: dict[str, list[float]] = {who: [] for who in workers}
    for process in workers.values():
        ask(process, ECHO)
    for turn in range(ECHO_TURNS):
        for who in sorted(workers, reverse=turn % 2 == 0):
            taken[who] += ask(workers[who], KEYS)["seconds"]
    for process in workers.values():
        ask(process, "end")
    return taken


def outside(pid: int) -> int:
    """The process of a kernel that calls itself `pid`, by its id for us: kernels may have ids of
    their own."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
            is_kernels = "/backendai-gateway-" in str((folder / "cwd").readlink())
        except OSError:
            continue
        ids = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
        if is_kernels and int(ids[-1]) == pid:
            return int(folder.name)
    raise LookupError(f"no kernel has a process {pid}")


def stop_by_ctrl_c(runtime: str, env: dict[str, str]) -> float:
    """Seconds from the signal of Ctrl-C to the end of a busy loop in a kernel."""
    code = TELLS_WHEN if runtime == "python" else TELLS_WHO
    with subprocess.Popen(
        [backend_ai(), "run", "-q", runtime, "-c", code], env=env, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        try:
            _, _, pid = run.stdout.readline().strip().partition(" ")
            program = os.pidfd_open(outside(int(pid))) if pid else None
            time.sleep(SETTLE_SECONDS)
            start = time.time()
            run.send_signal(signal.SIGINT)
            if program is None:
                return float(run.stdout.readline()) - start
            select.select([program], [], [])
            end = time.time()
            os.close(program)
            return end - start
        finally:
            run.wait(PATIENCE_SECONDS)


def report(figures: list[Figure], rounds: int, load: tuple[float, float]) -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load_before": load[0],
        "load_after": load[1],
        "rounds": rounds,
        "figures": [asdict(figure) | {"verdict": figure.verdict} for figure in figures],
    }


def print_table(figures: list[Figure], rounds: int, load: tuple[float, float]) -> None:
    width = max(len(figure.name) for figure in figures)
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs, medians of {rounds} rounds; "
        f"load {load[0]:.1f} before, {load[1]:.1f} after"
    )
    print(f"{'':{width}}  {'peer':>12} {'ours':>12} {'ratio':>6} {'limit':>21}")
    for figure in figures:
        peer, ours, limit = (
            "" if value is None else f"{value:.2f} {figure.unit}"
            for value in (figure.peer, figure.ours, figure.limit)
        )
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        times = "" if figure.factor == 1 else f"{figure.factor:g} times "
        limit = limit or (f"{times}the peer's" if ratio else "")
        low, high = figure.spread
        print(
            f"{figure.name:{width}}  {peer:>12} {ours:>12} {ratio:>6} {limit:>21}  "
            f"{figure.verdict:6} ({low:.2f}-{high:.2f})"
        )


if __name__ == "__main__":
    main()
