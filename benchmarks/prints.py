"""How long programs take that print line by line; see README.md beside this file."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from setting import backend_ai, clean_environment, served

LINES = 300_000
LIMIT = 2.0
"""Of the time of the same text in one write; see README.md."""
LOOP = f"for i in range({LINES}): print(i)"
WRITE = f"print('\\n'.join(map(str, range({LINES}))))"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure programs that print line by line.")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="rounds [9]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "loop.py").write_text(LOOP)
        (home / "write.py").write_text(WRITE)
        env = clean_environment(home)
        with served(home / "data", env) as gateway:
            env |= gateway.variables
            pairs = {
                "query": (["-c", LOOP], ["-c", WRITE]),
                "file": (["loop.py"], ["write.py"]),
            }
            figures = {
                name: measure(loop, write, arguments.rounds, home, env)
                for name, (loop, write) in pairs.items()
            }
    if arguments.json:
        print(json.dumps(figures))
        return
    print(f"{LINES:,} lines    loop s   one write s   ratio (limit {LIMIT})")
    for name, (loop_s, write_s, ratio) in figures.items():
        verdict = "within" if ratio <= LIMIT else "OVER"
        print(f"{name:<16} {loop_s:6.2f} {write_s:13.2f}   {ratio:5.2f}  {verdict}")


def measure(
    loop: list[str], write: list[str], rounds: int, folder: Path, env: Mapping[str, str]
) -> tuple[float, float, float]:
    """Medians of the seconds of both, and of the ratios of the rounds."""
    found: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        pair = seconds(loop, folder, env), seconds(write, folder, env)
        if number:  # the first round does not count
            found.append(pair)
    ratios = [loop_s / write_s for loop_s, write_s in found]
    return (
        statistics.median(loop_s for loop_s, _ in found),
        statistics.median(write_s for _, write_s in found),
        statistics.median(ratios),
    )


def seconds(arguments: list[str], folder: Path, env: Mapping[str, str]) -> float:
    """How long the command takes, with its output in a pipe that is read at once."""
    argv = [backend_ai(), "run", "-q", "python", *arguments]
    begun = time.perf_counter()
    done = subprocess.run(argv, cwd=folder, env=dict(env), stdout=subprocess.PIPE, check=True)
    lasted = time.perf_counter() - begun
    if done.stdout.count(b"\n") != LINES:
        raise SystemExit("output is missing")
    return lasted


if __name__ == "__main__":
    main()
