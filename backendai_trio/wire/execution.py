"""Running code: requests and replies.

Source: docs/protocol.md, section 4. The HTTP protocol is a long poll: one request starts a run, and
further requests with the same run id fetch what it has printed since, until a reply says
`finished`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..errors import LocalProtocolError, RemoteProtocolError
from .json_fields import Fields, encode_json
from .stdio import Stdio, window_size_of

__all__ = [
    "INTERRUPT_RUN",
    "RAW_CONSOLE",
    "RICH_OUTPUT",
    "RUN_PROGRAM",
    "SHOW_VALUE",
    "STDIN_EOF",
    "BatchOptions",
    "ExecuteReply",
    "ExecuteRequest",
    "check_run_id",
]

RAW_CONSOLE = "raw-console"
"""Feature: bytes that are not UTF-8 come as lone surrogates (PEP 383) instead of U+FFFD."""
RICH_OUTPUT = "rich-output"
"""Feature: resumable streams carry records that are not text of a stream, such as pictures."""
STDIN_EOF = "stdin-eof"
"""Feature: an answer may say that there is no more input."""
SHOW_VALUE = "show-value"
"""Feature: a query may ask for the value of the expression it ends in, as prompts show it."""
RUN_PROGRAM = "run-program"
"""Feature: a batch run may name its program among the files, and give it arguments."""
INTERRUPT_RUN = "interrupt-run"
"""Feature: interrupt takes a run id, and holds even when it overtakes the run's own request."""

Mode = Literal["query", "batch", "continue", "input", "complete"]
_MODES: Mapping[str, Mode] = {mode: mode for mode in get_args(Mode)}


# --- requests ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """Commands of a batch run. ``"*"`` is the runtime's own rule, None leaves the stage out."""

    clean: str | None = None
    build: str | None = "*"
    exec: str | None = "*"
    build_log: bool = False
    """Whether the build's standard output is wanted too."""
    program: str = ""
    """The file that the runtime's rule executes, relative to the work folder; empty: that of the
    rule. Only where the server has `RUN_PROGRAM`; elsewhere `exec` is a command with its name."""
    arguments: tuple[str, ...] = ()
    """What the program gets as its arguments from the runtime's rule; as for `program`."""

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
        if self.program:
            options["program"] = self.program
        if self.arguments:
            options["arguments"] = list(self.arguments)
        return options


@dataclass(frozen=True, slots=True)
class ExecuteRequest:
    """One request of a run."""

    mode: Mode
    run_id: str | None
    """None lets the server choose; follow-up requests must name it."""
    code: str = field(default="", repr=False)
    """Source (query), answer without its newline (input), otherwise empty."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    raw_console: bool = False
    """Ask for `RAW_CONSOLE`; only where the server has it."""
    eof: bool = False
    """With mode ``input``: there is no more input (`STDIN_EOF`)."""
    rich_output: bool = False
    """Ask for `RICH_OUTPUT`; only where the server has it."""

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
        if self.rich_output:
            body["richOutput"] = True
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
            top.flag("richOutput", default=False),
        )

    @property
    def window(self) -> tuple[int, int] | None:
        """Rows and columns of the terminal the program shall have; None for no terminal.

        Our own gateway's; ``tty`` in the options.
        """
        return window_size_of(self.options.get("tty"))

    @property
    def stdio(self) -> Stdio:
        """What the standard streams of a program without a `window` shall be (`CHOOSE_STDIO`)."""
        return Stdio.from_json(self.options.get("stdio"))

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
            program=options.text("program", default=""),
            arguments=tuple(options.texts("arguments")),
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
