"""What the command of a batch session prints, as the session's log shows it."""

from __future__ import annotations

import trio

from ..errors import BackendError
from ..transport.retry import RetryPolicy, with_retries
from ..wire.batch_jobs import JobLog
from .kernel import TrioKernel

__all__ = ["BatchOutput"]

_LOG_SECONDS = 1.0
"""Time between two polls of the log."""
_LAST_POLL_SECONDS = 30.0
"""How long the last poll of the log may take."""


class BatchOutput:
    """The output of a batch session's command: read from the log, and sent to a channel.

    One task does both in turn. So a piece that was read is always sent, and pieces keep their
    order, however slow the receiver is.

    Args:
        kernel: the session.
        log: finds the command's output in the session's log.
        channel: where to send the output; it stays open. None: nowhere.

    Attributes:
        complete: whether the log was seen after the command's end.
    """

    def __init__(
        self, kernel: TrioKernel, log: JobLog, channel: trio.MemorySendChannel[str] | None
    ) -> None:
        self._kernel = kernel
        self._log = log
        self._channel = channel
        self.complete = False
        self._pieces: list[str] = []
        self._poll = trio.CancelScope()
        """The present one."""
        self._wanted = trio.Event()
        self._finishing = False

    @property
    def text(self) -> str:
        """All output so far."""
        return "".join(self._pieces)

    @property
    def exit_code(self) -> int | None:
        """Of the command; None if the log does not show it (yet)."""
        return self._log.exit_code

    def poll_now(self) -> None:
        """Have `follow` poll the log at once, in place of a poll that is under way: the answer to
        that would be older, and may be long in coming."""
        self._wanted.set()
        self._poll.cancel()

    def finish(self) -> None:
        """Have `follow` poll the log for the last time, and end."""
        self._finishing = True
        self.poll_now()

    async def follow(self) -> None:
        """Send what is added to the log, until `finish` is called and all is sent."""
        while not self._finishing:
            await self._show()
            with trio.move_on_after(_LOG_SECONDS):
                await self._wanted.wait()
            self._wanted = trio.Event()
        await self._show(last=True)

    async def _show(self, *, last: bool = False) -> None:
        """Poll the log, and send what was added to it."""
        added = None
        with trio.CancelScope() as self._poll:
            if last:
                self._poll.deadline = trio.current_time() + _LAST_POLL_SECONDS
            added = await self._read(retries=4 if last else 0)
        self.complete = last and added is not None
        if not added:
            return
        self._pieces.append(added)
        if self._channel is not None:
            try:
                await self._channel.send(added)
            except trio.BrokenResourceError:
                self._channel = None

    async def _read(self, *, retries: int) -> str | None:
        """What was added to the log; None if the server does not show it: a log is not worth the
        session's end."""
        try:
            policy = RetryPolicy(first=0.2, longest=5.0, retries=retries)
            return self._log.feed(await with_retries(self._kernel.logs, policy=policy))
        except BackendError:
            return None
