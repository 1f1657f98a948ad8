"""Processes to be killed: a gateway and an uploading client, forked from one loaded before.

Run as a program it reads a JSON object a line from standard input, forks, and answers with a line
when the forked process has begun. Starting Python anew a hundred times would take minutes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from backendai_trio import GatewayOptions, TrioVFolder, open_client, open_gateway
from backendai_trio.config.settings import parse_config
from backendai_trio.files import plan_uploads
from backendai_trio.gateway.api import app  # noqa: F401 (loaded before forking)
from backendai_trio.transport import client  # noqa: F401

__all__ = ["Killable", "killable"]


class Killable:
    """A process that forks processes. Made by `killable`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def start(self, task: str, **details: Any) -> int:
        """Fork one that does a task; its process id, once it has begun."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"task": task, **details}).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def kill(self, pid: int) -> int:
        """Kill one, unless it has ended; its wait status."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"task": "kill", "pid": pid}).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def killable(temporary: Path) -> Iterator[Killable]:
    """The process; whatever it has forked ends with the block.

    Args:
        temporary: the folder for what they leave when they are killed.
    """
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve())],
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
        wish = json.loads(line)
        if wish["task"] == "kill":
            os.kill(wish["pid"], signal.SIGKILL)
            _, status = os.waitpid(wish["pid"], 0)
            print(status, flush=True)
            continue
        begun, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(begun)
            try:
                trio.run({"gateway": serve_folders, "upload": upload}[wish.pop("task")], wish, tell)
            finally:
                os._exit(1)
        os.close(tell)
        os.read(begun, 1)
        os.close(begun)
        print(pid, flush=True)


async def serve_folders(wish: dict[str, Any], tell: int) -> None:
    options = GatewayOptions(
        data=Path(wish["data"]),
        port=wish["port"],
        access_key=wish["environ"]["BACKEND_ACCESS_KEY"],
        secret_key=wish["environ"]["BACKEND_SECRET_KEY"],
    )
    while True:
        try:
            async with open_gateway(options):
                os.write(tell, b".")
                await trio.sleep_forever()
        except Exception:
            await trio.sleep(0.01)


async def upload(wish: dict[str, Any], tell: int) -> None:
    config = parse_config(wish["environ"])
    assert config is not None
    os.write(tell, b".")
    async with open_client(config) as opened:
        path = Path(wish["path"])
        await TrioVFolder(opened, "data").upload(plan_uploads([path], base=path.parent))


if __name__ == "__main__":
    serve()
