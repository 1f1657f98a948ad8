"""What signals do to a command that runs code."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from backendai_trio import BackendError, Client, Execution, Finished

from .. import exit_codes
from ..console import Status
from ..errors import message_of
from ..termination import ending_signals

__all__ = ["Interrupts"]

_KILLED_BY_INTERRUPT = (-signal.SIGINT, -signal.SIGINT & 0xFF)
_GRACE_SECONDS = 1.0
"""How long code in a `repl` may take to stop before another Ctrl-C ends the kernel."""


class Interrupts:
    """Ctrl-C interrupts the code, and once more ends the command. Other signals end it at once.

    Attributes:
        at_prompt: set in a `repl`, where the end of the kernel would lose its state. Without a run
            Ctrl-C then does nothing. During a run it ends the command only after a warning, which
            is shown if the code does not stop.
        interrupted: whether Ctrl-C has interrupted the last run.
        number: the signal that has ended the command; None if none has.
    """

    def __init__(self, status: Status, *, keep: bool = False) -> None:
        """
        Args:
            status: where to show the warning.
            keep: the kernel stays when the command ends; its run is then stopped.
        """
        self.at_prompt = False
        self.interrupted = False
        self.number: int | None = None
        self._status = status
        self._keep = keep
        self._run: Execution | None = None
        self._warned = False

    @contextmanager
    def of(self, run: Execution) -> Iterator[None]:
        """During the block, Ctrl-C interrupts this run."""
        self._run = run
        self.interrupted = self._warned = False
        try:
            yield
        finally:
            self._run = None

    def exit_code(self, run: Execution, client: Client) -> int:
        """The exit code for a run that has ended.

        Args:
            run: the last run.
            client: of its server.
        """
        if not isinstance(run.outcome, Finished):
            return exit_codes.TIMED_OUT
        code = run.outcome.exit_code
        # A program on our own gateway that handles Ctrl-C has an exit code of its own. Managers say
        # nothing or 0 of code, and -2 or 254 of a program that the signal has ended.
        tells_nothing = code in (None, 0, *_KILLED_BY_INTERRUPT) and not client.hello.features
        if self.interrupted and (code is None or tells_nothing):
            return exit_codes.INTERRUPTED
        return code or 0

    async def watch(self, nursery: trio.Nursery, *, task_status: trio.TaskStatus[None]) -> None:
        """Handle signals. The command is ended by cancelling the nursery."""
        with trio.open_signal_receiver(*ending_signals()) as received:
            task_status.started()
            async for number in received:
                run = self._run
                if number == signal.SIGINT:
                    self._status.begin_line()
                if number == signal.SIGINT and run is None and self.at_prompt:
                    continue
                if run is not None and not run.connection.up and not self.at_prompt:
                    self._status.info("The server is not reached: leaving without it.")
                elif number == signal.SIGINT and run is not None and not self._warned:
                    self.interrupted = True
                    nursery.start_soon(self._interrupt, run)
                    if self.at_prompt:
                        nursery.start_soon(self._warn_later, run)
                    else:
                        self._warn()
                    continue
                self.number = number
                if not self._keep:
                    self._status.wait("Ending the kernel; Ctrl-C again leaves it to 'gc'...")
                if run is not None and not self._keep:
                    run.abandon()  # the end of its kernel ends it
                nursery.cancel_scope.cancel()

    async def _interrupt(self, run: Execution) -> None:
        try:
            await run.interrupt()
        except BackendError as exc:
            if self._run is run:  # otherwise it has ended, perhaps with its kernel
                self._status.fail(f"The program could not be interrupted: {message_of(exc)}")

    async def _warn_later(self, run: Execution) -> None:
        await trio.sleep(_GRACE_SECONDS)
        if self._run is run and not self._warned:
            self._warn()

    def _warn(self) -> None:
        self._warned = True
        if self._run is not None and not self._run.connection.up:
            self._status.info(
                "The program is interrupted once the connection is back; Ctrl-C again leaves."
            )
        else:
            then = "leaves; the kernel stays" if self._keep else "ends the kernel"
            self._status.info(f"Interrupting the program; Ctrl-C again {then}.")
