"""What a network, or a proxy in it, does to a request or to its answer. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "Cut",
    "Delay",
    "Drip",
    "Duplicate",
    "Fault",
    "MalformedJson",
    "Reorder",
    "Reply",
    "SlowRead",
    "Stall",
    "Vanish",
    "WrongLength",
]

Part: TypeAlias = Literal["answer", "body"]


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection ends in the middle of the answer. An answer that is shorter passes."""

    after: int = 0
    """How many bytes pass."""
    of: Part = "answer"
    """Where they are counted from: the first byte of the answer, or of its body. What comes over a
    WebSocket counts as the body of the answer that opens it."""
    reset: bool = False
    """End it with a reset, which loses what is under way; else in order."""


@dataclass(frozen=True, slots=True)
class Stall:
    """The answer stops in its middle, and the connection stays open."""

    after: int = 0
    """How many bytes pass."""
    of: Part = "answer"
    """As for `Cut`."""


@dataclass(frozen=True, slots=True)
class Delay:
    """The answer comes late."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reorder:
    """The answer comes after the answer to another request, over another connection."""

    seconds: float = 1.0
    """It waits no longer than this for the other one."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The answer comes twice, in one piece. WebSockets, and answers without a Content-Length such
    as streams of events, pass unharmed."""


@dataclass(frozen=True, slots=True)
class Drip:
    """The answer comes in small pieces."""

    piece_bytes: int = 16
    pause_seconds: float = 0.002
    """Pause after each piece."""


@dataclass(frozen=True, slots=True)
class SlowRead:
    """The request is read in small pieces."""

    piece_bytes: int = 4096
    pause_seconds: float = 0.01
    """Pause after each piece."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Another answer comes instead of the gateway's, as from a proxy on the way."""

    status: int
    body: bytes = b""
    content_type: str = "text/html"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers."""
    forward: bool = False
    """Whether the gateway gets the request, and its own answer is lost."""


@dataclass(frozen=True, slots=True)
class MalformedJson:
    """The answer's body ends in its middle, and its length agrees with that. Answers that are not
    JSON, or empty, pass unharmed."""


@dataclass(frozen=True, slots=True)
class WrongLength:
    """The answer's Content-Length is wrong. Answers without one pass unharmed."""

    difference: int
    """Announced bytes less real ones. If some are missing, the connection ends after the real ones;
    if there are too many, it stays open."""


@dataclass(frozen=True, slots=True)
class Vanish:
    """The server vanishes: all connections that are open now carry nothing any more, neither way,
    and nobody closes them (half-open sockets). The request that it hits is lost."""

    reachable: bool = True
    """Whether new connections reach the server. If not, they are taken and carry nothing either,
    until `FaultyNetwork.clear` is called."""


Fault: TypeAlias = (
    Cut
    | Stall
    | Delay
    | Reorder
    | Duplicate
    | Drip
    | SlowRead
    | Reply
    | MalformedJson
    | WrongLength
    | Vanish
)
