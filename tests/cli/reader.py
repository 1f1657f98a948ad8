"""Reads much output from a kernel, as a program of its own; started by test_memory.py.

Arguments: ``terminal`` or ``execute``, then ``fast`` or ``slow``. It writes a JSON object when it
is ready to begin, begins when it gets a line, and writes another with what it has read.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import trio

from backendai_trio import KernelSpec, Stdout, TrioKernel, open_client, open_kernel, open_terminal

MIB = 1024 * 1024
LINE = b"y\n"


async def main(kind: str, pace: str) -> None:
    read = {"terminal": from_terminal, "execute": from_execution}[kind]
    async with open_client() as client, open_kernel(client, KernelSpec(runtime="python")) as kernel:
        await read(kernel, 2 * MIB, Digest(slow=False))  # whatever is loaded late is there now
        before = memory("VmRSS")
        print(json.dumps({"ready": True}), flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        digest = Digest(slow=pace == "slow")
        await read(kernel, 100 * MIB, digest)
        grown = memory("VmHWM") - before
        print(
            json.dumps({"size": digest.size, "sha256": digest.sha256, "grown": grown}), flush=True
        )


class Digest:
    """Takes what comes, at its own pace.

    Attributes:
        size: how many bytes came.
    """

    def __init__(self, *, slow: bool) -> None:
        self.size = 0
        self._slow = slow
        self._hash = hashlib.sha256()
        self._pause_at = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    async def take(self, piece: bytes) -> None:
        self._hash.update(piece)
        self.size += len(piece)
        if self._slow and self.size >= self._pause_at:
            # At first until all is full that lies between; then it stays full.
            await trio.sleep(1 if self._pause_at == 0 else 0.02)
            self._pause_at = self.size + MIB


async def from_terminal(kernel: TrioKernel, size: int, digest: Digest) -> None:
    async with open_terminal(kernel) as terminal:
        command = f"stty raw -echo; printf 'rea''dy>'; yes | head -c {size}; stty sane"
        await terminal.send_all(command.encode() + b"\n")
        got = b""
        while b"ready>" not in got:
            got += await terminal.receive_some()
        piece = got.partition(b"ready>")[2]
        while digest.size + len(piece) < size:
            await digest.take(piece)
            piece = await terminal.receive_some()
        await digest.take(piece[: size - digest.size])


async def from_execution(kernel: TrioKernel, size: int, digest: Digest) -> None:
    code = f"import sys\nfor _ in range({size // 65536}): sys.stdout.write('y\\n' * 32768)"
    async with kernel.execute(code) as run:
        async for event in run:
            if isinstance(event, Stdout):
                await digest.take(event.text.encode())


def memory(name: str, pid: int | str = "self") -> int:
    """What a process holds (``VmRSS``), or held at most (``VmHWM``), in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
