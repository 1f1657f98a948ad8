"""What TLS costs a run of code; README.md beside this file says how to read it.

The same file is the measuring program (started by hand) and the clients that are measured: each in
a process of its own, in turns.
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
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

OFFICIAL = "backend.ai-client==23.9.10"
REQUIREMENTS = [f"{OFFICIAL} yarl<1.10"]  # newer ones lack what it imports
CODE = "print(1)"
TLS_LIMIT = 1.5
"""Our time over https, in times of ours over http."""
PEER_LIMIT = 1.0
"""Our time over https, in times of the official client's."""


# --- the clients ---------------------------------------------------------------------------------
# Each reads numbers from standard input, makes so many runs, and prints their median in ms.


def next_count() -> int:
    return int(sys.stdin.readline() or 0)


def report(times: list[float]) -> None:
    print(json.dumps(statistics.median(times) * 1000), flush=True)


async def ours(execute: Callable[[Any], Awaitable[None]]) -> None:
    import trio

    from backendai_trio import KernelSpec, open_client, open_kernel

    async with open_client() as client, open_kernel(client, KernelSpec(runtime="python")) as kernel:
        while count := await trio.to_thread.run_sync(next_count):
            times = []
            for _ in range(count):
                start = time.perf_counter()
                await execute(kernel)
                times.append(time.perf_counter() - start)
            report(times)


async def run(kernel: Any) -> None:
    """The form that gives a result: a request for each poll, on connections that are kept."""
    result = await kernel.run(CODE)
    assert result["status"] == "finished", result


async def execute(kernel: Any) -> None:
    """The form that gives events as they come: a WebSocket for each run."""
    async with kernel.execute(CODE) as events:
        kinds = [type(event).__name__ async for event in events]
    assert kinds[-1] == "Finished", kinds


async def official(execute: Callable[[Any], Awaitable[None]]) -> None:
    from ai.backend.client.session import AsyncSession  # type: ignore[import-not-found]

    async with AsyncSession() as session:
        kernel = await session.ComputeSession.get_or_create("python", name=f"tls{os.getpid()}")
        try:
            while count := await asyncio.to_thread(next_count):
                times = []
                for _ in range(count):
                    start = time.perf_counter()
                    await execute(kernel)
                    times.append(time.perf_counter() - start)
                report(times)
        finally:
            await kernel.destroy()  # noqa: ASYNC102 (ends a process)


async def poll(kernel: Any) -> None:
    """The same as `run`."""
    result = {"status": "continued", "runId": None}
    code = CODE
    while result["status"] != "finished":
        result = await kernel.execute(result["runId"], code, mode="query")
        code = ""


async def stream(kernel: Any) -> None:
    """The same as `execute`."""
    async with kernel.stream_execute(CODE) as messages:
        async for message in messages:
            if json.loads(message.data)["status"] == "finished":
                return


def play(role: str) -> None:
    match role:
        case "run" | "execute":
            import trio

            trio.run(ours, run if role == "run" else execute)
        case "poll" | "stream":
            asyncio.run(official(poll if role == "poll" else stream))


# --- the measuring program -----------------------------------------------------------------------


@contextmanager
def started(python: Path | str, role: str, env: dict[str, str]) -> Iterator[Callable[[int], float]]:
    """A client; gives what has it make runs and returns their median in ms."""
    with subprocess.Popen(
        [str(python), "-W", "ignore", __file__, "--role", role],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def measure(runs: int) -> float:
            stdin.write(f"{runs}\n")
            stdin.flush()
            line = stdout.readline()
            if not line:
                sys.exit(f"{process.args!r} ended before it had answered")
            median: float = json.loads(line)
            return median

        yield measure
        stdin.close()


def certificate_in(folder: Path) -> tuple[list[str], dict[str, str]]:
    """A certificate for loopback: the gateway's options, and the clients' settings."""
    import trustme

    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    chain, key, ca = folder / "chain.pem", folder / "key.pem", folder / "ca.pem"
    for blob in leaf.cert_chain_pems:
        blob.write_to_path(chain, append=True)
    leaf.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(ca)
    options = ["--certificate", str(chain), "--certificate-key", str(key)]
    # The second is OpenSSL's own, for the official client, which has no such setting.
    return options, {"BACKEND_CA_FILE": str(ca), "SSL_CERT_FILE": str(ca)}


def measure(peer: Path, rounds: int, runs: int) -> dict[str, list[float]]:
    """Medians of each round, the clients in turns, there and back."""
    from setting import clean_environment, served

    medians: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="backendai-tls-") as name, ExitStack() as stack:
        folder = Path(name)
        plain = clean_environment(folder)
        options, trust = certificate_in(folder)
        for part in ("http", "https"):
            (folder / part).mkdir()
        http = plain | stack.enter_context(served(folder / "http", plain)).variables
        gateway = stack.enter_context(served(folder / "https", plain, *options))
        https = plain | gateway.variables | trust
        theirs = peer / "bin" / "python"
        clients = {
            "run, http": started(sys.executable, "run", http),
            "run, https": started(sys.executable, "run", https),
            "official execute, https": started(theirs, "poll", https),
            "execute, http": started(sys.executable, "execute", http),
            "execute, https": started(sys.executable, "execute", https),
            "official stream_execute, https": started(theirs, "stream", https),
        }
        measures = {name: stack.enter_context(client) for name, client in clients.items()}
        for number in range(rounds + 1):
            once = list(measures)
            for name in once + once[::-1]:
                median = measures[name](runs)
                if number:  # the first round warms up
                    medians.setdefault(name, []).append(median)
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what TLS costs a run of code.")
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="rounds [10]")
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="runs a turn [20]")
    parser.add_argument(
        "--peer-venv", type=Path, metavar="DIR", help=f"a venv that has {OFFICIAL} already"
    )
    parser.add_argument("--role", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role is not None:
        play(arguments.role)
        return
    from setting import installed_peer

    load = os.getloadavg()[0]
    peer = arguments.peer_venv or installed_peer("23.9.10", REQUIREMENTS)
    medians = measure(peer, arguments.rounds, arguments.runs)
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {arguments.rounds} rounds of "
        f"twice {arguments.runs} runs; load {load:.1f} before, {os.getloadavg()[0]:.1f} after"
    )
    for name, values in medians.items():
        print(f"{name:32} {statistics.median(values):7.2f} ms")
    for name, other, limit in (
        ("run, https", "run, http", TLS_LIMIT),
        ("run, https", "official execute, https", PEER_LIMIT),
        ("execute, https", "execute, http", TLS_LIMIT),
        ("execute, https", "official stream_execute, https", PEER_LIMIT),
    ):
        pairs = zip(medians[name], medians[other], strict=True)
        ratio = statistics.median(one / two for one, two in pairs)
        verdict = "within" if ratio <= limit else "OVER"
        print(f"{name}, in times of {other}: {ratio:.2f} (limit {limit:g}, {verdict})")


if __name__ == "__main__":
    main()
