"""A process that serves for long gives the memory back that it has freed."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import threading, trio
from backendai_cli.free_memory import keep_memory_low

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

kept = []

def use():  # blocks of all sizes; a small one behind each stays
    for number in range(1000):
        block = bytearray(100 * (number + 1))
        kept.append(bytearray(1000))
        blocks.append(block)

before = resident()
blocks = []
threads = [threading.Thread(target=use) for _ in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
blocks.clear()
after = resident()

async def wait():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: keep_memory_low(every_seconds=0.01))
        with trio.move_on_after(20):
            while resident() - before > (after - before) / 2:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()

trio.run(wait)
print(after - before, resident() - before)
"""


@pytest.mark.skipif(
    sys.platform == "win32" or not hasattr(ctypes.CDLL(None), "malloc_trim"),
    reason="this system's C library does not give memory back on request",
)
def test_memory_that_was_freed() -> None:
    argv = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert left < kept / 2, done.stdout
