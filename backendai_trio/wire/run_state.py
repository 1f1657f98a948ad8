"""The client's side of a run, as a state machine: what to send next, and what each reply means."""

from __future__ import annotations

from ..errors import LocalProtocolError, RemoteProtocolError
from .execution import ExecuteReply, ExecuteRequest
from .run_events import (
    BuildFinished,
    CleanFinished,
    Event,
    Finished,
    InputRequest,
    TimedOut,
    event_of,
)

__all__ = ["RunState"]


_STATUSES = frozenset(
    ("continued", "clean-finished", "build-finished", "waiting-input", "finished", "exec-timeout")
)


class RunState:
    """What to send next, and what each reply means (the state machine of docs/protocol.md,
    section 4.4).

    ::

        new --first request--> running --reply--> running | waiting | ended
        waiting --answer--> running

    Feed it every reply; ask it for every request. It does no I/O and knows no clock.
    """

    def __init__(self, first: ExecuteRequest) -> None:
        self._next: ExecuteRequest | None = first
        self._run_id = first.run_id
        self._raw_console = first.raw_console
        self.begun = first.mode in ("continue", "input")
        """Whether the run may have begun on the server: its first request was handed out."""
        self.waiting = False
        """Whether the program waits for `answer`."""
        self.outcome: Finished | TimedOut | None = None
        """How the run ended; None while it goes on."""

    @property
    def run_id(self) -> str | None:
        """The run's id, None as long as the server has not chosen one."""
        return self._run_id

    def request(self) -> ExecuteRequest:
        """The next request to send.

        Raises:
            LocalProtocolError: the run has ended, or waits for an answer.
        """
        if self._next is None:
            why = "it waits for input" if self.waiting else "it has ended"
            raise LocalProtocolError(f"nothing to send for run {self._run_id}: {why}")
        self.begun = True
        return self._next

    def feed(self, reply: ExecuteReply) -> list[Event]:
        """Take a reply in; returns its events in order, the status as the last one."""
        if self._next is None:
            raise LocalProtocolError(f"run {self._run_id} expects no reply")
        if reply.status not in _STATUSES:
            raise RemoteProtocolError(f"reply to execute: unknown status {reply.status!r}")
        self._run_id = reply.run_id or self._run_id
        if self._run_id is None and reply.status not in ("finished", "exec-timeout"):
            raise RemoteProtocolError("reply to execute: the run goes on and has no id")
        events = [event_of(kind, payload) for kind, payload in reply.console]
        self._next = None
        match reply.status:
            case "finished" | "exec-timeout":
                # After exec-timeout the server destroys the kernel (docs/protocol.md, section 4.2):
                # nothing follows.
                ended = reply.status == "finished"
                self.outcome = Finished(reply.exit_code) if ended else TimedOut()
                events.append(self.outcome)
                return events
            case "waiting-input":
                self.waiting = True
                events.append(InputRequest(reply.options.get("is_password") is True))
                return events
            case "clean-finished":
                events.append(CleanFinished(reply.exit_code))
            case "build-finished":
                events.append(BuildFinished(reply.exit_code))
        self._next = ExecuteRequest("continue", self._run_id, raw_console=self._raw_console)
        return events

    def answer(self, line: str | None) -> None:
        """Give the waiting program a line without its newline, or None for end of input.

        Raises:
            LocalProtocolError: the program does not wait for one.
        """
        if not self.waiting:
            raise LocalProtocolError(f"run {self._run_id} does not wait for input")
        self.waiting = False
        self._next = ExecuteRequest(
            "input",
            self._run_id,
            line or "",
            raw_console=self._raw_console,
            eof=line is None,
        )

    def interrupted(self, *, keeps_asking: bool = False) -> None:
        """The code was interrupted: a pending question needs no answer any more.

        Nor must the first request be repeated if its reply was not seen: it may have started the
        code, and would start it again on managers (docs/protocol.md, section 4.5).

        Args:
            keeps_asking: the kernel waits for an answer all the same, and gets an empty one. Those
                of managers do: the interrupt does not reach the part of them that reads answers.
        """
        if self.waiting and keeps_asking:
            self.answer("")
        elif self.begun and self.outcome is None and self._run_id is not None:
            self.waiting = False
            self._next = ExecuteRequest("continue", self._run_id, raw_console=self._raw_console)
