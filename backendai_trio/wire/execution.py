"""Running code: requests, replies, events, and the client's side of the loop as a state object.

Source: docs/protocol.md, section 4. The HTTP protocol is a long poll: one request starts a run, and
further requests with the same run id fetch what it has printed since, until a reply says
`finished`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..errors import LocalProtocolError, RemoteProtocolError
from .json_fields import Fields, encode_json

__all__ = [
    "BatchOptions",
    "BuildFinished",
    "CleanFinished",
    "Event",
    "ExecuteReply",
    "ExecuteRequest",
    "Finished",
    "Html",
    "InputRequest",
    "Log",
    "Media",
    "Other",
    "RunState",
    "Stderr",
    "Stdout",
    "TimedOut",
]

RAW_CONSOLE = "raw-console"
"""Feature: bytes that are no UTF-8 come as lone surrogates (PEP 383) instead of U+FFFD."""
STDIN_EOF = "stdin-eof"
"""Feature: an answer may say that there is no more input."""
SHOW_VALUE = "show-value"
"""Feature: a query may ask for the value of the expression it ends in, as prompts show it."""
INTERRUPT_RUN = "interrupt-run"
"""Feature: interrupt takes a run id, and holds even when it overtakes the run's own request."""

Mode = Literal["query", "batch", "continue", "input", "complete"]
_MODES: Mapping[str, Mode] = {mode: mode for mode in get_args(Mode)}
_MAX_WINDOW = 10_000
_STATUSES = frozenset(
    ("continued", "clean-finished", "build-finished", "waiting-input", "finished", "exec-timeout")
)


# --- what a run tells its user -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stdout:
    """A piece of standard output; pieces break anywhere except inside a character."""

    text: str


@dataclass(frozen=True, slots=True)
class Stderr:
    """A piece of standard error."""

    text: str


@dataclass(frozen=True, slots=True)
class Media:
    """A picture or similar."""

    mime_type: str
    data: str
    """Text (SVG) or a ``data:`` URL or base64."""


@dataclass(frozen=True, slots=True)
class Html:
    """A fragment of HTML."""

    text: str


@dataclass(frozen=True, slots=True)
class Log:
    """A log record, as JSON text."""

    text: str


@dataclass(frozen=True, slots=True)
class Other:
    """A record of a kind that this library does not know; to be shown or passed over."""

    kind: str
    payload: Any


@dataclass(frozen=True, slots=True)
class InputRequest:
    """The program waits for a line; answer it with `Execution.send_input`."""

    is_password: bool = False
    """Whether what is typed should stay hidden."""


@dataclass(frozen=True, slots=True)
class CleanFinished:
    """The clean stage of a batch run has ended."""

    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class BuildFinished:
    """The build stage of a batch run has ended."""

    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The run has ended."""

    exit_code: int | None = None
    """0-255, 128+n for signal n; None where the server does not tell (query mode of managers)."""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The server ended the run, and its kernel, because it took too long."""


Event = (
    Stdout
    | Stderr
    | Media
    | Html
    | Log
    | Other
    | InputRequest
    | CleanFinished
    | BuildFinished
    | Finished
    | TimedOut
)


# --- requests ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """Commands of a batch run. ``"*"`` is the runtime's own rule, None leaves the stage out."""

    clean: str | None = None
    build: str | None = "*"
    exec: str | None = "*"
    build_log: bool = False
    """Whether the build's standard output is wanted too."""

    def as_json(self) -> dict[str, object]:
        """The ``options`` object.

        A stage is left out with an empty text: agents before 18.12 fail on null, and their session
        is of no use after that (docs/protocol.md, section 4.1).
        """
        options: dict[str, object] = {
            "build": self.build or "",
            "buildLog": self.build_log,
            "exec": self.exec or "",
        }
        if self.clean is not None:  # servers before 18.12 do not know it
            options["clean"] = self.clean
        return options


@dataclass(frozen=True, slots=True)
class ExecuteRequest:
    """One request of a run."""

    mode: Mode
    run_id: str | None
    """None lets the server choose; follow-up requests must name it."""
    code: str = ""
    """Source (query), answer without its newline (input), otherwise empty."""
    options: Mapping[str, Any] = field(default_factory=dict)
    raw_console: bool = False
    """Ask for `RAW_CONSOLE`; only where the server has it."""
    eof: bool = False
    """With mode ``input``: there is no more input (`STDIN_EOF`)."""

    def encode(self) -> bytes:
        """JSON body; the run id goes in both spellings (managers changed it in 25.6)."""
        body: dict[str, object] = {
            "mode": self.mode,
            "code": self.code,
            "runId": self.run_id,
            "run_id": self.run_id,
        }
        if self.options:
            body["options"] = dict(self.options)
        if self.raw_console:
            body["rawConsole"] = True
        if self.eof:
            body["eof"] = True
        return encode_json(body)

    @classmethod
    def decode(cls, body: bytes) -> ExecuteRequest:
        """Read any era's body."""
        top = Fields.parse(body, "execute request")
        mode = _MODES.get(name := top.text("mode", default="query"))
        if mode is None:
            raise RemoteProtocolError(f"execute request: unknown mode {name!r}")
        run_id = top.text("runId", "run_id", default="")
        if len(run_id) > 64:
            raise RemoteProtocolError("execute request: a run id has at most 64 characters")
        options = top.raw("options")
        if options is not None and not isinstance(options, dict):
            raise RemoteProtocolError("execute request: options must be an object")
        return cls(
            mode,
            run_id or None,
            top.text("code", default=""),
            options or {},
            top.flag("rawConsole", default=False),
            top.flag("eof", default=False),
        )

    @property
    def window(self) -> tuple[int, int] | None:
        """Rows and columns of the terminal the program shall have; None for no terminal.

        Our own gateway's; ``tty`` in the options.
        """
        size = self.options.get("tty")
        if not (isinstance(size, list) and len(size) == 2):
            return None
        rows, columns = size
        if type(rows) is not int or type(columns) is not int:
            return None
        return min(max(rows, 1), _MAX_WINDOW), min(max(columns, 1), _MAX_WINDOW)

    @property
    def shows_value(self) -> bool:
        """Whether the value of a final expression is to be printed (`SHOW_VALUE`)."""
        return self.options.get("showValue") is True

    def batch_options(self) -> BatchOptions:
        """The commands of a batch request."""
        options = Fields(dict(self.options), "options")
        return BatchOptions(
            clean=options.text("clean", default="") or None,
            build=options.text("build", default="") or None,
            exec=options.text("exec", default="") or None,
            build_log=options.flag("buildLog", default=False),
        )


def check_run_id(run_id: str | None) -> None:
    """Refuse a run id that servers would not take.

    Raises:
        LocalProtocolError: it is empty, or has more than 64 characters.
    """
    if run_id is not None and not 0 < len(run_id) <= 64:
        raise LocalProtocolError(f"run id {run_id[:70]!r}: it must have 1 to 64 characters")


# --- replies -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExecuteReply:
    """One reply of a run."""

    status: str
    run_id: str = ""
    console: tuple[tuple[str, Any], ...] = ()
    """Records in the order they were printed: (kind, payload)."""
    exit_code: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """JSON body. Client 1.1.1 needs `console` to be a list and `options` an object, always."""
        return encode_json(
            {
                "result": {
                    "status": self.status,
                    "runId": self.run_id,
                    "console": [list(record) for record in self.console],
                    "completions": [],
                    "exitCode": self.exit_code,
                    "options": dict(self.options),
                    "files": [],
                }
            }
        )

    @classmethod
    def decode(cls, body: bytes) -> ExecuteReply:
        """Read a reply of API 2 or later."""
        what = "reply to execute"
        result = Fields(Fields.parse(body, what).raw("result"), what)
        records: list[tuple[str, Any]] = []
        for record in result.items("console"):
            if not (isinstance(record, list) and len(record) == 2 and isinstance(record[0], str)):
                raise RemoteProtocolError(f"{what}: a console record must be a pair")
            records.append((record[0], record[1]))
        code = result.raw("exitCode")
        if code is not None and (not isinstance(code, int) or isinstance(code, bool)):
            raise RemoteProtocolError(f"{what}: exitCode must be a whole number")
        options = result.raw("options")
        return cls(
            result.text("status"),
            result.text("runId", "run_id", default=""),
            tuple(records),
            code,
            options if isinstance(options, dict) else {},
        )


def event_of(kind: str, payload: Any) -> Event:
    """A console record as an event; a record of unknown kind or odd payload becomes `Other`."""
    if kind == "media" and isinstance(payload, list) and len(payload) == 2:
        mime_type, data = payload
        if isinstance(mime_type, str) and isinstance(data, str):
            return Media(mime_type, data)
    if isinstance(payload, str):
        match kind:
            case "stdout":
                return Stdout(payload)
            case "stderr":
                return Stderr(payload)
            case "html":
                return Html(payload)
            case "log":
                return Log(payload)
    return Other(kind, payload)


def record_of(event: Event) -> tuple[str, Any] | None:
    """An event of output as a console record, as `event_of` reads it; None for other events."""
    match event:
        case Stdout(text):
            return "stdout", text
        case Stderr(text):
            return "stderr", text
        case Html(text):
            return "html", text
        case Log(text):
            return "log", text
        case Media(mime_type, data):
            return "media", [mime_type, data]
        case Other(kind, payload):
            return kind, payload
    return None


def joined(console: Iterable[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    """Console records with neighbours of one stream made one: where output was cut says nothing."""
    found: list[tuple[str, list[Any]]] = []
    for kind, payload in console:
        if kind in ("stdout", "stderr") and found and found[-1][0] == kind:
            found[-1][1].append(payload)
        else:
            found.append((kind, [payload]))
    return tuple(
        (kind, "".join(pieces) if len(pieces) > 1 else pieces[0]) for kind, pieces in found
    )


# --- the client's side of the loop ---------------------------------------------------------------


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
        """The code was told to stop: a pending question needs no answer any more.

        Nor must the first request be repeated if its reply was not seen: it may have started the
        code, and would start it again on managers (docs/protocol.md, section 4.5).

        Args:
            keeps_asking: the kernel waits for an answer all the same, and gets an empty one. Those
                of managers do: what reads answers there is not what was interrupted.
        """
        if self.waiting and keeps_asking:
            self.answer("")
        elif self.begun and self.outcome is None and self._run_id is not None:
            self.waiting = False
            self._next = ExecuteRequest("continue", self._run_id, raw_console=self._raw_console)
