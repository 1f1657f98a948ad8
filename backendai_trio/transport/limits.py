"""How much a client takes from a server, and how long it waits for one."""

from __future__ import annotations

from dataclasses import dataclass, field

from .retry import RATE_LIMITED, REPEATED

__all__ = ["Limits", "StreamLimits"]


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Time limits of a resumable stream, such as that of a run or terminal, in seconds.

    A silent connection counts as dead after `check_seconds` + `silence_seconds` + `pong_seconds` at
    most.
    """

    check_seconds: float = 5.0
    """How often to look for silence. When the wall clock goes ahead by more than this, the machine
    has slept, and a ping is sent at once."""
    silence_seconds: float = 10.0
    """After this time without a byte from the server, a ping is sent."""
    pong_seconds: float = 10.0
    """After this time without a byte since the ping, the connection counts as dead."""
    answer_seconds: float = 15.0
    """For the server's answer to the upgrade."""
    outage_seconds: float = 60.0
    """For a message over a new connection. The gateway keeps a stream's output for as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a client's connections. The time to connect is `Config.connect_seconds`, the
    time to wait for a response an argument of each request."""

    max_connections: int = 100
    """How many requests may be under way at once; further ones wait for their turn."""
    keepalive_seconds: float = 4.0
    """How long an idle connection is kept. Less than any server that we know (hypercorn 5 s,
    aiohttp 15 s and more), so that hardly any request meets a connection that is just closed."""
    write_seconds: float = 60.0
    """For each 256 KiB of a request's body to go out. The time that its source takes to make them
    does not count."""
    unacknowledged_seconds: float = 60.0
    """After so long without an acknowledgement of what was sent, the connection counts as dead,
    where the platform lets us say so (``TCP_USER_TIMEOUT``)."""
    retry_seconds: float = REPEATED.seconds
    """For how long a request is repeated that may be, such as an upload, while it fails for reasons
    that may pass."""
    rate_limited_seconds: float = RATE_LIMITED.seconds
    """How long a request may wait in all, if the server takes no more of the key pair's for now."""
    max_head_bytes: int = 100 * 1024
    """For the head of a response, with the informational ones before it; and for what stands
    between two pieces of a chunked body, trailers included."""
    max_body_bytes: int = 256 * 1024 * 1024
    """For a response that is read whole."""
    poll_seconds: float = 330.0
    """For the answer to a poll of a run. One comes after about 2 s; a manager may wait up to 300 s
    for its agent (docs/protocol.md, section 4.3)."""
    streams: StreamLimits = field(default_factory=StreamLimits)
    """Time limits of resumable streams."""
