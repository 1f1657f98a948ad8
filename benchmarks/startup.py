"""How long commands take to start; README.md beside this file says how to read it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from setting import backend_ai, clean_environment, installed_peer, served

REFERENCE_MS = 12.0
"""`python3 -c pass` on the machine for which the limits were set."""
OFFICIAL = "backend.ai-client==1.1.1"
# Its own requirement, an aiohttp of 2017, does not import on any Python that we support.
AIOHTTP = "aiohttp==3.8.6" if sys.version_info < (3, 12) else "aiohttp"


@dataclass(frozen=True)
class Command:
    """Something to measure."""

    name: str
    argv: list[str]
    env: dict[str, str]
    limit_ms: float | None = None
    """On the reference machine."""


@dataclass(frozen=True)
class Figure:
    """What was measured."""

    name: str
    median_ms: float
    fastest_ms: float
    slowest_ms: float
    limit_ms: float | None
    """On this machine."""

    @property
    def verdict(self) -> str:
        if self.limit_ms is None:
            return ""
        return "within" if self.median_ms <= self.limit_ms else "OVER"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how long commands take to start.")
    parser.add_argument("--runs", type=int, default=15, metavar="N", help="runs of each [15]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--peer-venv", type=Path, metavar="DIR", help=f"a venv that has {OFFICIAL} already"
    )
    parser.add_argument("--no-peer", action="store_true", help="leave the official client out")
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error("--runs must be 1 or more")

    with tempfile.TemporaryDirectory(prefix="backendai-startup-") as folder:
        plain = clean_environment(Path(folder))
        with served(Path(folder), plain) as gateway:
            commands = our_commands(plain, gateway.variables)
            if not arguments.no_peer:
                peer = arguments.peer_venv or installed_peer("1.1.1", [OFFICIAL, AIOHTTP])
                commands += peer_commands(peer, plain | gateway.variables)
            load_before = os.getloadavg()[0]
            figures = measure(commands, arguments.runs)
    load = (load_before, os.getloadavg()[0])
    if arguments.json:
        print(json.dumps(report(figures, arguments.runs, load), indent=2))
    else:
        print_table(figures, arguments.runs, load)


def our_commands(plain: dict[str, str], variables: Mapping[str, str]) -> list[Command]:
    run = [backend_ai(), "run", "-q", "python3", "-c", "pass"]
    return [
        Command("python3 -c pass", [sys.executable, "-c", "pass"], plain),
        Command("backend.ai --help", [backend_ai(), "--help"], plain, 100),
        Command("backend.ai config", [backend_ai(), "config"], plain, 100),
        Command("backend.ai completion bash", [backend_ai(), "completion", "bash"], plain, 100),
        Command("backend.ai run -q python3 -c pass (embedded)", run, plain, 600),
        Command("backend.ai run -q python3 -c pass (served)", run, plain | dict(variables)),
    ]


def peer_commands(venv: Path, env: dict[str, str]) -> list[Command]:
    theirs = str(venv / "bin" / "backend.ai")
    run = [theirs, "run", "-q", "python3", "-c", "pass"]
    return [
        Command("client 1.1.1 --help", [theirs, "--help"], env),
        Command("client 1.1.1 run -q python3 -c pass (served)", run, env),
    ]


def measure(commands: list[Command], runs: int) -> list[Figure]:
    """Run them in turn, so that whatever else the machine does hits all of them alike."""
    taken: dict[str, list[float]] = {command.name: [] for command in commands}
    for number in range(runs + 1):
        for command in commands:
            start = time.perf_counter()
            done = subprocess.run(
                command.argv,
                env=command.env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
            elapsed = (time.perf_counter() - start) * 1000
            if done.returncode != 0:
                sys.exit(f"{command.name} failed: {done.stderr.decode(errors='replace')}")
            if number > 0:  # the first round fills caches
                taken[command.name].append(elapsed)
    python_ms = statistics.median(taken[commands[0].name])
    return [
        Figure(
            command.name,
            statistics.median(taken[command.name]),
            min(taken[command.name]),
            max(taken[command.name]),
            command.limit_ms and command.limit_ms * python_ms / REFERENCE_MS,
        )
        for command in commands
    ]


def report(figures: list[Figure], runs: int, load: tuple[float, float]) -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load_before": load[0],
        "load_after": load[1],
        "runs": runs,
        "figures": [asdict(figure) | {"verdict": figure.verdict} for figure in figures],
    }


def print_table(figures: list[Figure], runs: int, load: tuple[float, float]) -> None:
    width = max(len(figure.name) for figure in figures)
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs, medians of {runs} runs; "
        f"load {load[0]:.1f} before, {load[1]:.1f} after"
    )
    print(f"{'':{width}}  {'median':>8} {'fastest':>8} {'slowest':>8} {'limit':>8}")
    for figure in figures:
        limit = "" if figure.limit_ms is None else f"{figure.limit_ms:.0f} ms"
        times = [figure.median_ms, figure.fastest_ms, figure.slowest_ms]
        columns = " ".join(f"{value:5.0f} ms" for value in times)
        print(f"{figure.name:{width}}  {columns} {limit:>8} {figure.verdict}".rstrip())
    scale = figures[0].median_ms / REFERENCE_MS
    print(f"The limits are those of the reference machine times {scale:.2f} (see README.md).")


if __name__ == "__main__":
    main()
