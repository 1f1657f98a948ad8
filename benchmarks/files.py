"""How fast files travel, and how much memory that takes; README.md beside this says more."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from setting import clean_environment, installed_peer, served

OFFICIAL = "backend.ai-client==23.9.10"
REQUIREMENTS = [OFFICIAL, "yarl<1.10"]  # with a newer yarl it does not import
TOKEN = "benchmark"
SMALL_FILES, SMALL_BYTES = 1000, 4096
LARGE_BYTES = 512 * 1024**2
HUGE_BYTES = 4 * 1024**3
MAX_GROWTH_BYTES = 60 * 1000**2

# Each is run by a fresh Python, and measures from after its imports to the last answer.
OURS = """
import json, os, sys, time
from pathlib import Path
import trio
from backendai_trio import KernelSpec, attach_kernel, open_client

def high_water():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

async def main():
    action, folder = sys.argv[1], Path(sys.argv[2])
    async with open_client() as client:
        kernel = await attach_kernel(client, KernelSpec(runtime="python"), token="benchmark")
        before, start = high_water(), time.perf_counter()
        if action == "upload":
            await kernel.upload(sorted(folder.iterdir()), base=folder.parent)
        elif action == "download":
            await kernel.download(sys.argv[3:], folder)
        took = time.perf_counter() - start
        print(json.dumps({"seconds": took, "growth": high_water() - before}))

trio.run(main)
"""
THEIRS = """
import json, resource, sys, time
from pathlib import Path
from ai.backend.client.session import Session

# It keeps all the files open at once.
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
folder = Path(sys.argv[2])
with Session() as session:
    kernel = session.ComputeSession("benchmark")
    start = time.perf_counter()
    kernel.upload(sorted(folder.iterdir()), basedir=folder.parent)
    print(json.dumps({"seconds": time.perf_counter() - start}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure uploads and downloads.")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="runs of each [5]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--peer-venv", type=Path, metavar="DIR", help=f"a venv that has {OFFICIAL} already"
    )
    parser.add_argument("--no-huge", action="store_true", help="leave the 4 GiB out")
    arguments = parser.parse_args()
    peer = arguments.peer_venv or installed_peer("23.9.10", REQUIREMENTS)
    with tempfile.TemporaryDirectory(prefix="backendai-files-") as folder:
        plain = clean_environment(Path(folder)) | {"TMPDIR": folder}
        with served(Path(folder), plain) as gateway:
            bench = Bench(Path(folder), plain | gateway.variables, gateway.pid, peer)
            load = os.getloadavg()[0]
            small = bench.compare("small", SMALL_FILES, SMALL_BYTES, arguments.runs)
            large = bench.compare("large", 1, LARGE_BYTES, arguments.runs)
            huge = {} if arguments.no_huge else bench.huge()
    results = {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": [load, os.getloadavg()[0]],
        "small": small,
        "large": large,
        "huge": huge,
    }
    if arguments.json:
        print(json.dumps(results, indent=2))
    else:
        print_table(results)


class Bench:
    """Where and with what it is measured."""

    def __init__(self, folder: Path, env: dict[str, str], gateway: int, peer: Path) -> None:
        self._folder = folder
        self._env = env
        self._gateway = gateway
        self._programs = {
            "ours": [sys.executable, "-c", OURS],
            "theirs": [str(peer / "bin" / "python"), "-W", "ignore", "-c", THEIRS],
        }

    def compare(self, name: str, count: int, size: int, runs: int) -> dict[str, Any]:
        """Upload the same files with both clients, in turn, after a round that does not count."""
        source = self._folder / name
        source.mkdir()
        for number in range(count):
            write(source / f"{number:04}.bin", size)
        taken: dict[str, list[float]] = {"ours": [], "theirs": []}
        for number in range(runs + 1):
            for who, times in taken.items():
                # Each time into a new folder there. What is to be replaced, or was just removed,
                # would slow the file system down.
                source = source.rename(self._folder / f"{name}-{who}-{number}")
                self._level(count * size)
                seconds = self._run(who, "upload", source)["seconds"]
                if number:
                    times.append(seconds)
        shutil.rmtree(source)
        medians = {who: statistics.median(times) for who, times in taken.items()}
        return {"seconds": taken, "ratio": medians["theirs"] / medians["ours"]} | medians

    def _level(self, size: int) -> None:
        """Have the machine in the same state before every upload.

        What the one before has left to be written to the disk is written. And the page cache finds
        memory that was in use just now: in a virtual machine, pages that its host has yet to
        provide cost up to 2 s for 512 MiB, and that hits the one client or the other.
        """
        os.sync()
        scratch = self._folder / "scratch"
        write(scratch, 2 * size)
        scratch.unlink()

    def huge(self) -> dict[str, Any]:
        """Upload and download 4 GiB; how much the processes grow."""
        source, target = self._folder / "huge", self._folder / "back"
        source.mkdir()
        write(source / "huge.bin", HUGE_BYTES)
        found: dict[str, Any] = {}
        for action, folder, names in (
            ("upload", source, []),
            ("download", target, ["huge/huge.bin"]),
        ):
            os.sync()
            before = self._gateway_peak(reset=True)
            done = self._run("ours", action, folder, *names)
            done["gateway_growth"] = self._gateway_peak() - before
            found[action] = done
        same = subprocess.run(["cmp", source / "huge.bin", target / "huge.bin"], check=False)
        found["same"] = same.returncode == 0
        return found

    def _run(self, who: str, *arguments: str | Path) -> dict[str, Any]:
        done = subprocess.run(
            [*self._programs[who], *map(str, arguments)],
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{who} {arguments} failed: {done.stderr}")
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    def _gateway_peak(self, *, reset: bool = False) -> int:
        """Most memory the gateway has had since the last reset, in bytes."""
        process = Path(f"/proc/{self._gateway}")
        if reset:
            (process / "clear_refs").write_text("5")
        lines = (process / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def write(path: Path, size: int) -> None:
    """A file of bytes that no disk packs."""
    block = os.urandom(min(size, 1024**2))
    with path.open("wb") as file:
        while size > 0:
            size -= file.write(block[:size])


def print_table(results: dict[str, Any]) -> None:
    before, after = results["load"]
    python, cpus = results["python"], results["cpus"]
    print(f"Python {python}, {cpus} CPUs, load {before:.1f} before, {after:.1f} after")
    for name, what, bar in (
        ("small", f"{SMALL_FILES:,} files of {SMALL_BYTES // 1024} KiB", 5),
        ("large", f"a file of {LARGE_BYTES // 1024**2} MiB", 1),
    ):
        row = results[name]
        verdict = "holds" if row["ratio"] >= bar else "MISSED"
        print(
            f"upload of {what}: {row['ours']:.2f} s, client 23.9.10 {row['theirs']:.2f} s: "
            f"{row['ratio']:.1f} times as fast (bar: {bar}) {verdict}"
        )
    for action in ("upload", "download") if results["huge"] else ():
        row = results["huge"][action]
        growth = {"client": row["growth"], "gateway": row["gateway_growth"]}
        verdict = "holds" if max(growth.values()) < MAX_GROWTH_BYTES else "MISSED"
        grown = ", ".join(f"{who} +{size / 1e6:.0f} MB" for who, size in growth.items())
        print(
            f"{action} of {HUGE_BYTES // 1024**3} GiB: {row['seconds']:.1f} s, "
            f"{HUGE_BYTES / row['seconds'] / 1e6:.0f} MB/s; {grown} (bar: 60) {verdict}"
        )
    if results["huge"] and not results["huge"]["same"]:
        print("THE FILE CAME BACK DIFFERENT")


if __name__ == "__main__":
    main()
