"""Messages of the managers' own WebSockets: streaming execution and terminals.

Source: docs/protocol.md, sections 6.1 and 6.2. Our gateway has a better form of both
(`wire.resumable`), and speaks these to other clients.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from ..errors import ExecutionError, LocalProtocolError, RemoteProtocolError
from .execution import ExecuteReply, ExecuteRequest
from .json_fields import Fields, decode_json, encode_json

__all__ = [
    "FromTerminal",
    "Ping",
    "Resize",
    "Restart",
    "Stdin",
    "decode_reply",
    "decode_start",
    "decode_typed",
    "decode_typed_out",
    "encode_reply",
    "encode_start",
    "encode_typed",
    "encode_typed_out",
]

_MAX_WINDOW = 10_000


# --- streaming execution -------------------------------------------------------------------------


def encode_start(request: ExecuteRequest) -> str:
    """The first message of a streaming execution."""
    if request.mode not in ("query", "batch"):
        raise LocalProtocolError(f"a stream cannot start with mode {request.mode!r}")
    body = {"mode": request.mode, "code": request.code, "options": dict(request.options)}
    return encode_json(body).decode("ascii")


def decode_start(frame: str | bytes) -> ExecuteRequest:
    """Read the first message; only query and batch can start."""
    request = ExecuteRequest.decode(_as_bytes(frame))
    if request.mode not in ("query", "batch"):
        raise RemoteProtocolError(f"streaming execution: mode {request.mode!r} cannot start a run")
    return request


def encode_reply(reply: ExecuteReply) -> str:
    """A message from the server; it has no run id."""
    return encode_json(
        {
            "status": reply.status,
            "console": [list(record) for record in reply.console],
            "exitCode": reply.exit_code,
            "options": dict(reply.options),
            "files": [],
        }
    ).decode("ascii")


def decode_reply(frame: str | bytes) -> ExecuteReply:
    """Read a message from the server.

    Raises:
        ExecutionError: the server says that it failed, or that it shuts down.
        RemoteProtocolError: it is malformed.
    """
    value = decode_json(_as_bytes(frame), "streaming execution")
    fields = Fields(value, "streaming execution")
    if (status := fields.text("status")) in ("error", "server-restarting"):
        raise ExecutionError(f"the server ended the stream ({status}): {fields.raw('msg') or ''}")
    return ExecuteReply.decode(encode_json({"result": value}))


# --- terminals -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stdin:
    """Typed bytes."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Resize:
    """A new size of the window, in characters."""

    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the kernel anew."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Keeps idle timers fresh."""


FromTerminal = Stdin | Resize | Restart | Ping


def encode_typed(message: FromTerminal) -> str:
    """A message from a terminal's user."""
    body: dict[str, object]
    match message:
        case Stdin(data):
            body = {"type": "stdin", "chars": base64.b64encode(data).decode("ascii")}
        case Resize(rows, columns):
            body = {"type": "resize", "rows": rows, "cols": columns}
        case Restart():
            body = {"type": "restart"}
        case Ping():
            body = {"type": "ping"}
    return encode_json(body).decode("ascii")


def decode_typed(frame: str | bytes) -> FromTerminal | None:
    """Read a message from a terminal's user; None for a type that nobody knows."""
    fields = Fields.parse(_as_bytes(frame), "terminal input")
    match fields.text("type", default=""):
        case "stdin":
            return Stdin(_unbase64(fields.text("chars", default="")))
        case "resize":
            rows, columns = fields.integer("rows"), fields.integer("cols")
            if not (0 < rows <= _MAX_WINDOW and 0 < columns <= _MAX_WINDOW):
                raise RemoteProtocolError(f"terminal input: {rows}x{columns} is no window")
            return Resize(rows, columns)
        case "restart":
            return Restart()
        case "ping":
            return Ping()
    return None


def encode_typed_out(data: bytes) -> str:
    """A message to a terminal's user."""
    # By hand: this is the hot path, and base64 needs no escaping.
    return '{"type":"out","data":"' + base64.b64encode(data).decode("ascii") + '"}'


def decode_typed_out(frame: str | bytes) -> bytes:
    """Read a message to a terminal's user; text and binary frames carry the same (docs/protocol.md,
    section 6.1).

    Returns:
        The output; nothing for messages of another type.
    """
    fields = Fields.parse(_as_bytes(frame), "terminal output")
    if fields.text("type", default="") != "out":
        return b""
    return _unbase64(fields.text("data", default=""))


def _as_bytes(frame: str | bytes) -> bytes:
    return frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RemoteProtocolError("terminal: data is not base64") from None
