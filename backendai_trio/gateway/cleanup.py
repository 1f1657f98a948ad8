"""Cleanup that blocks: shielded from cancellation, and bounded."""

from __future__ import annotations

from collections.abc import Callable

import trio

from .shortages import shortage_of

__all__ = ["CLEANUP_SECONDS", "clean_up_in_thread"]

CLEANUP_SECONDS = 10.0


async def clean_up_in_thread(
    function: Callable[[], object], *, seconds: float = CLEANUP_SECONDS
) -> bool:
    """Call a blocking function in a thread, even when the caller has been cancelled.

    Removing files may take for ever where the file system is a network's. After the time limit the
    thread goes on by itself, and the caller no longer waits for it. Where no thread can be started,
    the function is called in this one: what it removes may be all that the machine lacks.

    Args:
        function: what to call; it must not mind that its caller has gone on.
        seconds: the time limit.

    Returns:
        Whether the function has returned in time.

    Cancellation: takes effect at the caller's next checkpoint.
    """
    with trio.move_on_after(seconds, shield=True) as scope:
        try:
            await trio.to_thread.run_sync(function, abandon_on_cancel=True)
        except RuntimeError as exc:
            if not shortage_of(exc):
                raise
            function()  # there is no thread for it
    return not scope.cancelled_caught
