"""What signals do to a command that runs code."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from backendai_trio import BackendError, Execution

from .. import exit_codes
from ..console import Status

__all__ = ["Interrupts"]

_PATIENCE_SECONDS = 1.0
"""How long code may take to stop, before Ctrl-C is for its kernel."""


class Interrupts:
    """Ctrl-C interrupts the code; once more ends the command. Other signals end it at once.

    Attributes:
        at_prompt: set where somebody works with the kernel, and would lose what it holds: without
            a run Ctrl-C does nothing, and it ends the command only when that was announced, which
            happens if the code does not stop.
        interrupted: whether Ctrl-C has interrupted the last run.
        number: the signal that has ended the command, if one has.
    """

    def __init__(self, status: Status, *, keep: bool = False) -> None:
        """
        Args:
            status: where to tell.
            keep: the kernel stays, and a run that is left is to be stopped in it.
        """
        self.at_prompt = False
        self.interrupted = False
        self.number: int | None = None
        self._status = status
        self._keep = keep
        self._run: Execution | None = None
        self._last_warning = False

    @contextmanager
    def of(self, run: Execution) -> Iterator[None]:
        """During the block, Ctrl-C is for this run."""
        self._run = run
        self.interrupted = self._last_warning = False
        try:
            yield
        finally:
            self._run = None

    async def watch(self, nursery: trio.Nursery, *, task_status: trio.TaskStatus[None]) -> None:
        """Heed signals; to end the command, the nursery is cancelled."""
        with trio.open_signal_receiver(*exit_codes.ending_signals()) as received:
            task_status.started()
            async for number in received:
                run = self._run
                if number == signal.SIGINT and run is None and self.at_prompt:
                    continue
                if number == signal.SIGINT and run is not None and not self._last_warning:
                    self.interrupted = True
                    nursery.start_soon(self._interrupt, run)
                    if self.at_prompt:
                        nursery.start_soon(self._warn_later, run)
                    else:
                        self._warn()
                    continue
                self.number = number
                if run is not None and not self._keep:
                    run.abandon()  # its kernel ends now, and that ends everything in it
                nursery.cancel_scope.cancel()

    async def _interrupt(self, run: Execution) -> None:
        try:
            await run.interrupt()
        except BackendError as exc:
            if self._run is run:  # else it has ended meanwhile, and its kernel perhaps too
                self._status.fail(f"The program was not interrupted: {exc}")

    async def _warn_later(self, run: Execution) -> None:
        await trio.sleep(_PATIENCE_SECONDS)
        if self._run is run and not self._last_warning:
            self._warn()

    def _warn(self) -> None:
        self._last_warning = True
        self._status.info("Interrupting the program; Ctrl-C again ends the kernel.")
