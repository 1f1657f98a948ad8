"""Events of sessions, as servers send them (docs/protocol.md, section 6.3).

The framing is that of the HTML standard ("event stream"). Its fields ``event``, ``data`` and
``retry`` are read; ``id`` is ignored, since no server can resume a stream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import LocalProtocolError, RemoteProtocolError
from .http import Request
from .json_fields import Fields, encode_json
from .uuids import is_dashed_uuid
from .versions import SESSION_5, Era

__all__ = [
    "CONTENT_TYPE",
    "KEEPALIVE",
    "KEEPALIVE_SECONDS",
    "RECONNECTED",
    "SERVER_CLOSE",
    "EventParser",
    "Message",
    "SessionEvent",
    "encode_message",
    "events_request",
    "name_in",
    "session_id_of",
]

CONTENT_TYPE = "text/event-stream"
KEEPALIVE = b": ping\n\n"
"""A comment that shows that the server is alive."""
KEEPALIVE_SECONDS = 15.0
"""How often servers send one."""
SERVER_CLOSE = "server_close"
"""The server ends the stream on purpose: a client does not reconnect."""
RECONNECTED = "stream_reconnected"
"""Name of the client's own event; other events may be missing before it. No server sends it."""
MAX_LINE_BYTES = 64 * 1024
MAX_MESSAGE_BYTES = 256 * 1024

_LINE_END = re.compile(rb"[\r\n]")
_ANY_LINE_END = re.compile(r"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"
# Steps that servers before 20.09 report of a kernel, and of a session as well.
_BOTH = frozenset({"started", "terminating", "terminated", "cancelled"})


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """An event of a session, or of one of its kernels."""

    name: str
    """``session_started``, ``kernel_terminated`` and others (docs/protocol.md, section 6.3). The
    client adds ``stream_reconnected`` where events may be missing."""
    session_id: str = ""
    """Session UUID from 20.09 on; ``""`` in 20.03, before that the token."""
    token: str = ""
    """The client token: the session's name."""
    reason: str = ""
    """Reason in a word, e.g. ``user-requested`` or ``idle-timeout``; ``""`` if unknown."""
    exit_code: int | None = None
    """Exit code, if this is the end of something; None before 20.09."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """All fields, by the server's names."""

    @property
    def ends_session(self) -> bool:
        """Whether this is the session's last event.

        From 20.09 on a session can have several kernels, and outlives each of them.
        """
        if self.name in ("session_terminated", "session_cancelled"):
            return True
        before_clusters = self.session_id in ("", self.token)
        return before_clusters and self.name in ("kernel_terminated", "kernel_cancelled")

    def encode(self, era: Era) -> bytes:
        """The message for an era; the other fields win over what `data` says.

        Args:
            era: the era whose names to use.

        Returns:
            The bytes of a server-sent event.
        """
        values: dict[str, object] = {**self.data, "reason": self.reason}
        if not era.names_session:
            values["sessionId"] = self.token
        else:
            values["sessionName"] = self.token
            if era.name != SESSION_5.name:
                values |= {"sessionId": self.session_id, "exitCode": self.exit_code}
        return encode_message(Message(self.name, encode_json(values).decode("ascii")))

    @classmethod
    def decode(cls, message: Message) -> SessionEvent:
        """Read any era's message.

        Args:
            message: a server-sent event.

        Returns:
            The event.

        Raises:
            RemoteProtocolError: its data is not a JSON object, or a field has the wrong type.
        """
        fields = Fields.parse(message.data.encode(), f"event {message.event[:40]!r}")
        session_id = fields.text("sessionId", default="")
        has_code = fields.raw("exitCode") is not None
        return cls(
            message.event,
            session_id,
            fields.text("sessionName", default=session_id),
            fields.text("reason", default=""),
            fields.integer("exitCode") if has_code else None,
            fields.everything(),
        )


def events_request(era: Era, token: str | None) -> Request:
    """The request for the events of a session, or of all sessions.

    Args:
        era: of the server.
        token: the kernel's token; None for all. From 20.09 on, a UUID is read as a session's id.

    Raises:
        LocalProtocolError: the token is empty.
    """
    if token == "":
        raise LocalProtocolError("a kernel's token or id must not be empty; use None for all")
    query: tuple[tuple[str, str], ...] = ()
    if not era.names_session:
        query = (("sessionId", token or "*"),)
    elif token is not None and era.name == SESSION_5.name:
        query = (("sessionName", token), ("name", token))  # releases differ in which they read
    elif token is not None:
        query = (("sessionId" if session_id_of(era, token) else "sessionName", token),)
    return Request("GET", era.events_path, query)


def session_id_of(era: Era, token: str | None) -> str:
    """The session id that `events_request` asks for; ``""`` if it asks for a name, or for all."""
    asks_for_ids = era.names_session and era.name != SESSION_5.name
    return token if asks_for_ids and token and is_dashed_uuid(token) else ""


def name_in(era: Era, name: str) -> str | None:
    """The name in an era of an event of 20.09; None if that era has no such event."""
    if era.names_session and era.name != SESSION_5.name:
        return name
    prefix, _, step = name.partition("_")
    if prefix != "session":
        return name
    return None if step in _BOTH or step == "scheduled" else f"kernel_{step}"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of an event stream."""

    event: str
    data: str = ""


def encode_message(message: Message) -> bytes:
    """A message's bytes. Line ends within the data arrive as LF.

    Raises:
        LocalProtocolError: the event's name has a line end in it, or is not valid Unicode.
    """
    if not message.event or _ANY_LINE_END.search(message.event):
        raise LocalProtocolError(f"{message.event!r} cannot name an event: it must be one line")
    lines = [f"event: {message.event}"]
    lines += [f"data: {line}" for line in _ANY_LINE_END.split(message.data)]
    try:
        return "\n".join([*lines, "\n"]).encode()
    except UnicodeEncodeError:
        raise LocalProtocolError(f"event {message.event!r}: it is not valid Unicode") from None


class EventParser:
    """Reads an event stream: bytes in, messages out, however the bytes are split.

    Attributes:
        retry_seconds: the server's pause before a client reconnects; None if it sent none.
    """

    def __init__(self) -> None:
        self.retry_seconds: float | None = None
        self._buffer = bytearray()
        self._searched = 0
        self._at_start = True
        self._after_cr = False
        self._pending = Message("")
        self._lines: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take bytes in."""
        self._buffer += data

    def next_message(self) -> Message | None:
        """The next whole message; None when more bytes are needed.

        A message without data counts if it names its event: some servers close with such one.

        Raises:
            RemoteProtocolError: a line or a message is longer than any event of a server.
        """
        while (line := self._next_line()) is not None:
            if line:
                self._take(line)
                continue
            message = replace(self._pending, data="\n".join(self._lines))
            self._pending, self._lines, self._size = Message(""), [], 0
            if message.event or message.data:
                return message if message.event else replace(message, event="message")
        return None

    def _next_line(self) -> bytes | None:
        buffer = self._buffer
        if self._at_start:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                return None
            self._at_start = False
            if buffer.startswith(_BOM):
                del buffer[: len(_BOM)]
        if self._after_cr and buffer:
            self._after_cr = False
            if buffer[:1] == b"\n":
                del buffer[:1]
        found = _LINE_END.search(buffer, self._searched)
        end = len(buffer) if found is None else found.start()
        if end > MAX_LINE_BYTES:
            raise RemoteProtocolError(
                f"event stream: a line exceeds {MAX_LINE_BYTES} bytes; is this a Backend.AI server?"
            )
        if found is None:
            self._searched = end
            return None
        line = bytes(buffer[:end])
        self._after_cr = buffer[end : end + 1] == b"\r"
        del buffer[: end + 1]
        self._searched = 0
        return line

    def _take(self, line: bytes) -> None:
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._pending = Message(value)
        elif name == "data":
            self._size += len(line)
            if self._size > MAX_MESSAGE_BYTES:
                raise RemoteProtocolError(
                    f"event stream: a message exceeds {MAX_MESSAGE_BYTES} bytes"
                )
            self._lines.append(value)
        elif name == "retry" and value.isascii() and value.isdigit() and len(value) < 10:
            self.retry_seconds = int(value) / 1000
