"""Memory that a process has freed goes back to the system.

glibc keeps what was freed between blocks that are in use: a gateway that had copied files and run
kernels for some minutes kept 10 MB of its 74 MB so.
"""

from __future__ import annotations

import trio

__all__ = ["keep_memory_low"]

EVERY_SECONDS = 60.0


async def keep_memory_low(*, every_seconds: float = EVERY_SECONDS) -> None:
    """Give free memory back to the system now and then, until cancelled; where that can be done.

    Args:
        every_seconds: how often. Each time takes some milliseconds of a thread.
    """
    import ctypes  # here, since it takes 5 ms

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
    if trim is None:
        await trio.sleep_forever()
    while True:
        await trio.sleep(every_seconds)
        await trio.to_thread.run_sync(trim, 0)
