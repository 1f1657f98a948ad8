"""Processes to be killed: a gateway and clients of it, forked from one loaded before.

Run as a program, it reads a JSON object from each line of standard input, forks, and prints a line
when the forked process has started. Starting a hundred Python processes would take minutes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from backendai_trio import (
    GatewayOptions,
    KernelSpec,
    TrioVFolder,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.config import Journal
from backendai_trio.config.layers import Layer
from backendai_trio.config.parsing import parse_config
from backendai_trio.files import plan_uploads
from backendai_trio.gateway.api import app  # noqa: F401 (loaded before forking)
from backendai_trio.transport import client  # noqa: F401

__all__ = ["Killable", "killable"]


class Killable:
    """A process that forks processes. Made by `killable`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def start(self, task: str, **details: Any) -> int:
        """Fork a process that does a task; returns its process id when it has started."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"task": task, **details}).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def kill(self, pid: int) -> int:
        """Kill a process, unless it has ended; returns its wait status."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"task": "kill", "pid": pid}).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def killable(temporary: Path, *, within: Sequence[str] = ()) -> Iterator[Killable]:
    """Start the process; all processes that it has forked end with the block.

    Args:
        temporary: TMPDIR of the processes, for the files that they leave when they are killed.
        within: a command that runs the command behind it, such as ``env``.
    """
    with subprocess.Popen(
        [*within, sys.executable, str(Path(__file__).resolve())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as process:
        try:
            yield Killable(process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def serve() -> None:
    for line in sys.stdin.buffer:
        request = json.loads(line)
        if request["task"] == "kill":
            os.kill(request["pid"], signal.SIGKILL)
            _, status = os.waitpid(request["pid"], 0)
            print(status, flush=True)
            continue
        started, ready = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(started)
            try:
                trio.run(
                    {"gateway": serve_folders, "upload": upload, "use": use}[request.pop("task")],
                    request,
                    ready,
                )
            finally:
                os._exit(1)
        os.close(ready)
        os.read(started, 1)
        os.close(started)
        print(pid, flush=True)


async def serve_folders(request: dict[str, Any], ready: int) -> None:
    options = GatewayOptions(
        data=Path(request["data"]),
        port=request["port"],
        access_key=request["environ"]["BACKEND_ACCESS_KEY"],
        secret_key=request["environ"]["BACKEND_SECRET_KEY"],
    )
    while True:
        try:
            async with open_gateway(options):
                os.write(ready, b".")
                await trio.sleep_forever()
        except Exception:  # the gateway that was killed may still have the port, and its folder
            await trio.sleep(0.01)


async def upload(request: dict[str, Any], ready: int) -> None:
    config = parse_config(Layer(request["environ"]))
    assert config is not None
    os.write(ready, b".")
    async with open_client(config) as opened:
        path = Path(request["path"])
        await TrioVFolder(opened, "data").upload(plan_uploads([path], base=path.parent))


async def use(request: dict[str, Any], ready: int) -> None:
    """Create kernels and run code in them, one after the other, until this is killed."""
    config = parse_config(Layer(request["environ"]))
    assert config is not None
    journal = Journal(Path(request["journal"]))
    async with open_client(config, journal=journal) as opened:
        os.write(ready, b".")
        while True:
            async with open_kernel(opened, KernelSpec(runtime="python")) as kernel:
                await kernel.run("print(1)")


if __name__ == "__main__":
    serve()
