"""Ctrl-C in a place where Python drops exceptions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = ["deliver_lost_interrupts"]

_AGAIN_SECONDS = 0.01


def deliver_lost_interrupts() -> None:
    """Deliver a Ctrl-C again that Python has dropped.

    An exception in a callback, such as the one that each import ends with, is printed and dropped.
    A `KeyboardInterrupt` among them is the user's, who would have to press the keys again.
    """
    before = sys.unraisablehook

    def hook(dropped: UnraisableHookArgs) -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            _interrupt_soon()
        else:
            before(dropped)

    sys.unraisablehook = hook


def _interrupt_soon() -> None:
    """Interrupt the main thread, a moment after the callback."""
    import signal
    import threading

    def interrupt() -> None:
        main = threading.main_thread().ident
        if sys.platform != "win32" and main is not None:
            signal.pthread_kill(main, signal.SIGINT)  # ends a system call as well
        else:
            signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(_AGAIN_SECONDS, interrupt)
    timer.daemon = True
    timer.start()
