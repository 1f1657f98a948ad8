"""Batch sessions: sessions that run one command, and end with it (docs/protocol.md, section
3.10)."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from ..errors import LocalProtocolError
from .json_fields import Fields
from .log_text import new_text
from .versions import Era, Hello

__all__ = ["BATCH", "TIMED_OUT", "BatchJob", "JobLog", "check_job", "guarded_command"]

BATCH = "batch"
"""The type of such a session in a create request."""
TIMED_OUT = "task-timeout"
"""Why a session has ended whose command the server has ended at its time limit."""
_TIMEOUTS_SINCE = (24, 12)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "": 1.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class BatchJob:
    """What a batch session does."""

    command: str
    """A shell command, which runs in the work folder."""
    timeout_seconds: float | None = None
    """After this time the server ends it, and it has failed. Default: no limit."""
    starts_at: str = ""
    """When it may start: ISO 8601, or an offset such as ``30m``. Default: at once."""

    def __post_init__(self) -> None:
        if not self.command.strip():
            raise LocalProtocolError("a batch session needs a command")
        if self.timeout_seconds is not None and self.timeout_seconds <= 0:
            raise LocalProtocolError("the time limit of a batch session must be above 0")

    def encode(self) -> dict[str, object]:
        """Its keys in a create request."""
        found: dict[str, object] = {"type": BATCH, "startupCommand": self.command}
        if self.timeout_seconds is not None:
            found["batch_timeout"] = self.timeout_seconds
        if self.starts_at:
            found["starts_at"] = self.starts_at
        return found

    @classmethod
    def decode(cls, top: Fields) -> BatchJob | None:
        """The inverse of `encode`, for every spelling of the keys.

        Args:
            top: a create request.

        Returns:
            The job; None if the session is of another type.

        Raises:
            LocalProtocolError: it has no command, or its time limit is none.
            RemoteProtocolError: it is malformed.
        """
        kind = top.text("type", "session_type", "sessionType", default="interactive")
        if kind.lower() != BATCH:
            return None
        return cls(
            top.text("startupCommand", "startup_command", default=""),
            _seconds(top.raw("batch_timeout", "batchTimeout")),
            top.text("starts_at", "startsAt", default=""),
        )


def _seconds(value: object) -> float | None:
    """A time limit as clients write it: a number, or a text such as ``1.5h``."""
    if value is None:
        return None
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        return float(match[1]) * _SECONDS[match[2]]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise LocalProtocolError(f"batch_timeout {value!r}: write seconds, or a text such as 30m")


def check_job(hello: Hello, era: Era, job: BatchJob) -> None:
    """Check that a server can run a batch session.

    Args:
        hello: what the server says of itself.
        era: of the server.
        job: what to run.

    Raises:
        LocalProtocolError: it cannot; says from which release on others can.
    """
    if not era.takes_ids:
        raise LocalProtocolError(
            f"{hello.name} cannot run batch sessions that can be followed; "
            "managers can from 20.09 on"
        )
    if job.timeout_seconds is not None and not hello.features and hello.release < _TIMEOUTS_SINCE:
        raise LocalProtocolError(
            f"{hello.name} has no time limit for batch sessions; managers have that from 24.12 on"
        )


# -- the command and its log ----------------------------------------------------------------------

_FILES_SECONDS = 900
_WAIT = """\
tries=0
until [ -s {file} ]; do
  tries=$((tries + 1))
  [ $tries -le {limit} ] || {{ echo "the files of this job did not come" >&2; exit 125; }}
  sleep 1
done
rm -f {file}
"""
_GUARD = """\
{pause}{wait}echo {begin}
/bin/sh -c {command} 2>&1
code=$?
echo {end}$code
{pause}exit $code
"""


def guarded_command(
    command: str, name: str, *, waits_for: str = "", pauses: bool = False, marks: bool = True
) -> str:
    """A command that can be followed in a log where others write, too.

    A manager's log has lines of the kernel runner, and tells no exit code. So marks are printed
    before and behind the output of the command, of which both streams go the same way: else the
    last mark could overtake what it has to follow. The kernel runner may also log the command
    itself, so the marks are written there in a way that is not what they print.

    Args:
        command: a shell command.
        name: of the marks: letters and digits, seen nowhere else.
        waits_for: a file in the work folder that must be there first, not empty; it is removed.
        pauses: whether what is printed at once, or right before the end, may be lost
            (docs/protocol.md, section 4.7).
        marks: whether to print marks.
    """
    if not marks and not waits_for:
        return command
    wait = _WAIT.format(file=waits_for, limit=_FILES_SECONDS) if waits_for else ""
    if not marks:
        return f"{wait}{command}"
    begin, end = (_quoted(mark) for mark in _marks(name))
    pause = "sleep 1\n" if pauses else ""
    # In a shell of its own, so that a signal to that one does not end the marks, too.
    return _GUARD.format(pause=pause, wait=wait, begin=begin, end=end, command=shlex.quote(command))


def _marks(name: str) -> tuple[str, str]:
    return f"::job {name} begins::", f"::job {name} ends::"


def _quoted(mark: str) -> str:
    """A shell word whose value is the mark, and that does not have the mark in it."""
    return f"'{mark[:4]}''{mark[4:]}'"


class JobLog:
    """The output of a command in a log that is read again and again.

    Args:
        name: of the marks; empty if the log has nothing else.

    Attributes:
        exit_code: of the command; None until the mark behind its output was seen.
    """

    def __init__(self, name: str = "") -> None:
        self.exit_code: int | None = None
        self._begin, end = _marks(name) if name else ("", "")
        self._end = re.compile(re.escape(end) + r"(\d{1,3})(?=\r?\n)") if name else None
        self._end_text = end
        self._begun = not name
        self._shown = ""

    def feed(self, log: str) -> str:
        """What the command has printed since the log was last read.

        Args:
            log: the log as it is now. The server may have dropped its beginning.
        """
        text = log
        if self._begin:
            _, mark, rest = text.partition(self._begin)
            if mark:
                self._begun, text = True, rest.lstrip("\r").removeprefix("\n")
            if not self._begun:
                return ""
        if self._end is not None and (match := self._end.search(text)):
            self.exit_code = int(match[1])
            text = text[: match.start()]
        elif self._end is not None:
            text = _without_beginning_of(self._end_text, text)
        added = new_text(self._shown, text)
        self._shown = text
        return added


def _without_beginning_of(mark: str, text: str) -> str:
    """A text without what may become a mark at its end."""
    if (at := text.rfind(mark)) >= 0:
        return text[:at]
    for length in range(min(len(mark), len(text)), 0, -1):
        if text.endswith(mark[:length]):
            return text[:-length]
    return text
