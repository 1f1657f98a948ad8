"""Bodies on their way to the disk: many at once leave memory and threads to the rest."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator

import trio
import trio.testing

from backendai_trio.files.chunks import CHUNK_SIZE
from backendai_trio.files.thread_writer import FILE_THREADS, feed_in_thread

MIB = 1 << 20


class SlowDisk:
    """Writes nothing until it is let go."""

    def __init__(self) -> None:
        self.written = 0
        self.sent = 0
        self.writes = 0
        self.go_on = threading.Event()

    async def body(self, size: int) -> AsyncIterator[bytes]:
        """A body that arrives as fast as it is taken."""
        piece = bytes(64 * 1024)
        while size > 0:
            await trio.lowlevel.checkpoint()
            self.sent += len(piece)
            size -= len(piece)
            yield piece

    def write(self, data: bytes) -> None:
        """Write; blocks."""
        self.writes += 1
        self.go_on.wait()
        self.written += len(data)


async def all_wait(disk: SlowDisk) -> None:
    """Wait until nothing more is taken of any body."""
    before = -1
    while before != disk.sent or disk.writes < FILE_THREADS:
        before = disk.sent
        await trio.testing.wait_all_tasks_blocked(0.05)


async def test_many_bodies_for_a_slow_disk() -> None:
    """They keep little in memory, other threads go on, and in the end all is written."""
    disk, count = SlowDisk(), 100
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(feed_in_thread, disk.body(2 * MIB), disk.write)
        try:
            with trio.fail_after(20):
                await all_wait(disk)
                # As for the start of a kernel, whose folder is made in a thread.
                assert await trio.to_thread.run_sync(lambda: "done") == "done"
            assert disk.writes == FILE_THREADS
            # One piece each on its way, what waits, and what is being written.
            assert disk.sent <= (32 + 2 * FILE_THREADS) * MIB + count * 128 * 1024
        finally:
            disk.go_on.set()
    assert disk.written == disk.sent == count * 2 * MIB


async def test_a_single_body_fills_its_queue() -> None:
    disk = SlowDisk()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed_in_thread, disk.body(8 * MIB), disk.write)
        try:
            while disk.sent < CHUNK_SIZE:
                await trio.testing.wait_all_tasks_blocked(0.01)
            assert disk.writes == 1
        finally:
            disk.go_on.set()
    assert disk.written == 8 * MIB
