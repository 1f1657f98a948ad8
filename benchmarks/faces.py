"""How long a run takes over each face; README.md beside this file says how to read it.

The same file is the measuring program (started by hand), the server that answers at once, and the
clients that are measured: each in a process of its own, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ACCESS_KEY = "AKIABENCHMARKFACES00"
SECRET_KEY = "Secret-key-of-the-faces-benchmark-012345"
OFFICIAL = ("backend.ai-client==23.9.10", "yarl<1.10")
LIMIT = 0.9
"""Our time over that of the official client."""
PAIRS = {"asyncio": "official-async", "blocking": "official-sync"}
CODE = "print('hello world')"


# --- the server ----------------------------------------------------------------------------------


def answer(status: str, value: object) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


HELLO = answer("200 OK", {"version": "v7.20230615", "manager": "23.09.10"})
CREATED = answer(
    "201 Created",
    {
        "sessionId": "0f1f2b1c-6a5d-4c1e-9c8f-2b7f4f1f8d11",
        "sessionName": "bench",
        "status": "RUNNING",
        "servicePorts": [],
        "created": True,
    },
)
FINISHED = answer(
    "200 OK",
    {
        "result": {
            "status": "finished",
            "runId": "bench",
            "console": [["stdout", "hello world\n"]],
            "completions": [],
            "exitCode": 0,
            "options": {},
            "files": [],
        }
    },
)


class NullServer(asyncio.Protocol):
    """A manager 23.09 that has every answer ready."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].lower()
            _, found, length = head.partition(b"\r\ncontent-length:")
            size = int(length.split(b"\r\n", 1)[0]) if found else 0
            if len(self.received) < end + 4 + size:
                return
            self.received = self.received[end + 4 + size :]
            method, path, _ = head.split(b" ", 2)
            if method == b"get":
                self.transport.write(HELLO)
            elif path.partition(b"?")[0] == b"/session":
                self.transport.write(CREATED)
            else:
                self.transport.write(FINISHED)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(NullServer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# --- the clients ---------------------------------------------------------------------------------
# Each reads numbers from standard input, makes so many runs, and prints the time of each in us.


def in_turns() -> Iterator[int]:
    print("ready", flush=True)
    for line in sys.stdin:
        yield int(line)


async def measure_async(execute: Callable[[], Awaitable[Any]]) -> None:
    await execute()
    for count in in_turns():
        times = []
        for _ in range(count):
            start = time.perf_counter()
            await execute()
            times.append((time.perf_counter() - start) * 1e6)
        print(json.dumps(times), flush=True)


def measure_sync(execute: Callable[[], Any]) -> None:
    execute()
    for count in in_turns():
        times = []
        for _ in range(count):
            start = time.perf_counter()
            execute()
            times.append((time.perf_counter() - start) * 1e6)
        print(json.dumps(times), flush=True)


async def run_asyncio() -> None:
    from backendai_trio.asyncio import AsyncKernel

    kernel = await AsyncKernel.get_or_create("python", client_token="bench")
    await measure_async(lambda: kernel.execute(CODE))


def run_blocking() -> None:
    from backendai_trio import Kernel

    kernel = Kernel.get_or_create("python", client_token="bench")
    measure_sync(lambda: kernel.execute(CODE))


async def run_trio() -> None:
    from backendai_trio import open_client
    from backendai_trio.faces import compat

    async with open_client() as client:
        kernel = await compat.get_or_create(client, "python", client_token="bench")
        await measure_async(lambda: compat.execute(kernel, CODE))


async def run_official_async() -> None:
    from ai.backend.client.session import AsyncSession  # type: ignore[import-not-found]

    async with AsyncSession() as session:
        kernel = await session.ComputeSession.get_or_create("python", name="bench")
        await measure_async(lambda: kernel.execute("bench", CODE, mode="query"))


def run_official_sync() -> None:
    from ai.backend.client.session import Session

    with Session() as session:
        kernel = session.ComputeSession.get_or_create("python", name="bench")
        measure_sync(lambda: kernel.execute("bench", CODE, mode="query"))


def play(role: str) -> None:
    match role:
        case "server":
            asyncio.run(serve())
        case "trio":
            import trio

            trio.run(run_trio)
        case "asyncio":
            asyncio.run(run_asyncio())
        case "blocking":
            run_blocking()
        case "official-async":
            asyncio.run(run_official_async())
        case "official-sync":
            run_official_sync()


# --- the measuring program -----------------------------------------------------------------------


@contextmanager
def started(python: Path | str, role: str, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [str(python), "-W", "ignore", __file__, "--role", role],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        sys.exit(f"{process.args!r} ended before it had answered")
    return line


def installed_peer() -> Path:
    """The official client in a venv below the user's cache folder; installed the first time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    venv = cache / "backendai-trio" / f"client-23.9.10-python-{version}"
    done = venv / "complete"
    if not done.exists():
        print(f"Installing {OFFICIAL[0]} in {venv} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        subprocess.run([str(venv / "bin" / "pip"), "install", "-q", *OFFICIAL], check=True)
        done.touch()
    return venv


def measure(peer: Path, rounds: int, runs: int) -> dict[str, list[float]]:
    """Medians of each round, the clients in turns, so that whatever else happens hits all alike."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BACKEND_", "SORNA_")) and not name.lower().endswith("_proxy")
    }
    official = peer / "bin" / "python"
    pythons: dict[str, Path | str] = {
        "trio": sys.executable,
        "asyncio": sys.executable,
        "official-async": official,
        "blocking": sys.executable,
        "official-sync": official,
    }
    with started(sys.executable, "server", env) as server:
        env |= {
            "BACKEND_ENDPOINT": f"http://127.0.0.1:{line_of(server).strip()}",
            "BACKEND_ACCESS_KEY": ACCESS_KEY,
            "BACKEND_SECRET_KEY": SECRET_KEY,
        }
        medians: dict[str, list[float]] = {role: [] for role in pythons}
        processes: dict[str, subprocess.Popen[str]] = {}
        from contextlib import ExitStack

        with ExitStack() as stack:
            for role, python in pythons.items():
                processes[role] = stack.enter_context(started(python, role, env))
                assert line_of(processes[role]) == "ready\n"
            for number in range(rounds + 1):
                for role, process in processes.items():
                    assert process.stdin is not None
                    process.stdin.write(f"{runs}\n")
                    process.stdin.flush()
                    times = json.loads(line_of(process))
                    if number:  # the first round warms up
                        medians[role].append(statistics.median(times))
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how long a run takes over each face.")
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="rounds [20]")
    parser.add_argument("--runs", type=int, default=200, metavar="N", help="runs a round [200]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--peer-venv", type=Path, metavar="DIR", help=f"a venv that has {OFFICIAL[0]} already"
    )
    parser.add_argument("--role", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role is not None:
        play(arguments.role)
        return
    if arguments.rounds < 1 or arguments.runs < 1:
        parser.error("--rounds and --runs must be 1 or more")
    load_before = os.getloadavg()[0]
    found = measure(arguments.peer_venv or installed_peer(), arguments.rounds, arguments.runs)
    figures = {role: statistics.median(values) for role, values in found.items()}
    # Each round's ratio by itself: a busy moment of the machine then weighs as one round.
    ratios = {
        ours: statistics.median(a / b for a, b in zip(found[ours], found[theirs], strict=True))
        for ours, theirs in PAIRS.items()
    }
    load = (load_before, os.getloadavg()[0])
    if arguments.json:
        report = {
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "load_before": load[0],
            "load_after": load[1],
            "rounds": arguments.rounds,
            "runs": arguments.runs,
            "median_us": figures,
            "ratios": ratios,
            "limit": LIMIT,
        }
        print(json.dumps(report, indent=2))
        return
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {arguments.rounds} rounds of "
        f"{arguments.runs} runs; load {load[0]:.1f} before, {load[1]:.1f} after"
    )
    for role, value in figures.items():
        line = f"{role:15} {value:6.0f} us"
        if role in ratios:
            verdict = "within" if ratios[role] <= LIMIT else "OVER"
            line += f"   {ratios[role]:.2f} of {PAIRS[role]}, limit {LIMIT} {verdict}"
        print(line)


if __name__ == "__main__":
    main()
