"""Reads much output from a kernel, as a program of its own; started by test_memory.py.

Arguments: ``terminal`` or ``execute``, then ``fast`` or ``slow``. It writes a JSON object when it
is ready to begin, begins when it gets a line, and writes another with what it has read.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import trio

from backendai_trio import (
    KernelSpec,
    Stdout,
    TrioKernel,
    open_client,
    open_kernel,
    open_terminal,
)

MIB = 1024 * 1024
LINE = b"y\n"


async def main(kind: str, pace: str) -> None:
    read = {"terminal": from_terminal, "execute": from_execution}[kind]
    async with open_client() as client, open_kernel(client, KernelSpec(runtime="python")) as kernel:
        await digest(read(kernel, 2 * MIB), slow=False)  # whatever is loaded late is there now
        before = memory("VmRSS")
        print(json.dumps({"ready": True}), flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        size, sha256 = await digest(read(kernel, 100 * MIB), slow=pace == "slow")
        said = {"size": size, "sha256": sha256, "grown": memory("VmHWM") - before}
        print(json.dumps(said), flush=True)


async def digest(pieces: AsyncIterator[bytes], *, slow: bool) -> tuple[int, str]:
    """Size and hash of what comes."""
    found, size, pause_at = hashlib.sha256(), 0, 0
    async for piece in pieces:
        found.update(piece)
        size += len(piece)
        if slow and size >= pause_at:
            # At first until all is full that lies between; then it stays full.
            await trio.sleep(1 if pause_at == 0 else 0.02)
            pause_at = size + MIB
    return size, found.hexdigest()


async def from_terminal(kernel: TrioKernel, size: int) -> AsyncIterator[bytes]:
    async with open_terminal(kernel) as terminal:
        command = f"stty raw -echo; printf 'rea''dy>'; yes | head -c {size}; stty sane"
        await terminal.send_all(command.encode() + b"\n")
        got = b""
        while b"ready>" not in got:
            got += await terminal.receive_some()
        piece = got.partition(b"ready>")[2]
        while True:
            yield piece[:size]
            size -= len(piece)
            if size <= 0:
                return
            piece = await terminal.receive_some()


async def from_execution(kernel: TrioKernel, size: int) -> AsyncIterator[bytes]:
    code = f"import sys\nfor _ in range({size // 65536}): sys.stdout.write('y\\n' * 32768)"
    async with kernel.execute(code) as run:
        async for event in run:
            if isinstance(event, Stdout):
                yield event.text.encode()


def memory(name: str, pid: int | str = "self") -> int:
    """What a process holds (``VmRSS``), or held at most (``VmHWM``), in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
