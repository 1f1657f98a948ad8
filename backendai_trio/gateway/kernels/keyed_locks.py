"""Locks by key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

import trio

__all__ = ["KeyedLocks"]


class KeyedLocks:
    """A lock for each key, as long as a task holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, trio.Lock] = {}

    @asynccontextmanager
    async def held(self, key: Hashable) -> AsyncIterator[None]:
        """Hold the lock of a key."""
        lock = self._locks.setdefault(key, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            # When it is not locked, no task waits for it: that task would hold it now.
            if not lock.locked() and self._locks.get(key) is lock:
                del self._locks[key]

    def is_held(self, key: Hashable) -> bool:
        """Whether a task holds the lock of a key."""
        lock = self._locks.get(key)
        return lock is not None and lock.locked()
