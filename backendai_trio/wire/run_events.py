"""Events of a run: its output, its questions and its end.

Source: docs/protocol.md, section 4.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .media import decode_media, is_json, plain_type

__all__ = [
    "BuildFinished",
    "CleanFinished",
    "Event",
    "Finished",
    "Html",
    "InputRequest",
    "Log",
    "Media",
    "Other",
    "Stderr",
    "Stdout",
    "TimedOut",
    "event_of",
    "joined",
    "record_of",
]


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
    """As the server sent it: text (SVG, JSON), a ``data:`` URL or base64; see `content`."""

    def content(self) -> bytes:
        """Its bytes: those of a file of this type.

        Raises:
            RemoteProtocolError: the server sent what can be none.
        """
        return decode_media(self.mime_type, self.data)

    @property
    def plain_type(self) -> str:
        """Its type in lower case and without parameters: ``image/png``."""
        return plain_type(self.mime_type)

    @property
    def is_json(self) -> bool:
        """Whether it is JSON, of any type: ``application/json``, ``application/geo+json``."""
        return is_json(self.mime_type)


@dataclass(frozen=True, slots=True)
class Html:
    """A fragment of HTML. It can be taken as `Media`, too."""

    text: str

    def content(self) -> bytes:
        """Its bytes: those of a file, in UTF-8."""
        return self.text.encode("utf-8", "replace")

    @property
    def plain_type(self) -> str:
        """Its type: ``text/html``."""
        return "text/html"

    @property
    def is_json(self) -> bool:
        """Whether it is JSON: never."""
        return False


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
    """0-255, 128+n for signal n. Managers up to 25.x do not tell that of a query run: then it is
    what the traceback in the output speaks for, and without one what the server says, 0 or None
    (docs/protocol.md, section 4.2)."""


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


def event_of(kind: str, payload: Any) -> Event:
    """A console record as an event; a record of unknown kind or odd payload becomes `Other`."""
    if kind == "media" and isinstance(payload, list) and len(payload) == 2:
        mime_type, data = payload
        if isinstance(mime_type, str) and isinstance(data, str):
            return Media(mime_type, data)
        if isinstance(mime_type, str) and is_json(mime_type):
            return Media(mime_type, json.dumps(data))
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
