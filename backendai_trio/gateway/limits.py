"""Time limits and sizes of a gateway."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..wire.events import KEEPALIVE_SECONDS

__all__ = ["GatewayLimits", "QueryLimits"]


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryLimits:
    """How much a query of the admin API may ask for. GraphiQL asks for half of it at most."""

    body_bytes: int = 256 * 1024
    """Largest body of the request: the query and its variables."""
    chars: int = 64 * 1024
    """Characters of the query."""
    depth: int = 20
    """Fields within fields; GraphiQL's own query has 14."""
    fields: int = 500
    """Fields and fragments in it, those of a fragment each time it is used."""
    root_fields: int = 20
    """Fields at its top: each is a listing, and its rows are fetched anew."""


@dataclass(frozen=True, kw_only=True)
class GatewayLimits:
    """Time limits (in seconds) and sizes of a gateway; part of `GatewayOptions`.

    The defaults suit people and programs on one machine. Tests shorten them.
    """

    max_connections: int = 4000
    """How many connections clients may have at once; further ones are answered with status 503.
    Each kernel takes one at least for its output, its terminal or the wait for its start."""
    max_head_bytes: int = 16 * 1024
    """Largest head of a request."""
    head_seconds: float = 75.0
    """How long a connection may be without a request, and how long the whole head of one may take
    to arrive."""
    max_message_bytes: int = 16 * 1024 * 1024
    """Largest message of a WebSocket."""
    body_seconds: float = 30.0
    """How long a body that is read into memory may take to arrive, and a second more for each
    16 KiB of it. Files are streamed and not limited by this."""
    refused_seconds: float = 10.0
    """How long the rest of a refused request is read, so that its client gets to read why."""
    max_unsigned_bytes: int = 128 * 1024 * 1024
    """All bodies together that have been read to check their signature with, and were not checked
    yet. Only API versions before v4.20181215 sign bodies."""
    query: QueryLimits = field(default_factory=QueryLimits)
    """Queries of the admin API."""
    max_body_bytes: int = 64 * 1024 * 1024
    """Largest request body that is read into memory. Files are streamed and not limited by this."""
    max_create_bytes: int = 1024 * 1024
    """Largest body of a request that creates a kernel: kernels that wait are kept in memory with
    theirs, and no program could be started with much more (its variables, its command)."""
    max_runs: int = 1000
    """How many runs a kernel may have: the one that it executes, those that wait for their turn,
    and those whose output was not received yet."""
    poll_seconds: float = 2.0
    """How long a poll for a run's output waits (docs/protocol.md, section 4.3)."""
    abandoned_seconds: float = 10.0
    """A run that no client has polled for this long is interrupted when another run waits."""
    resume_seconds: float = 60.0
    """How long the client of a resumable stream may be away before its run is interrupted, or its
    terminal's output is no longer kept in full."""
    output_bytes: int = 1024 * 1024
    """Output of a run or terminal that is buffered before the program has to wait."""
    max_input_bytes: int = 8 * 1024 * 1024
    """Input of a resumable stream that its program has not read. Clients of this library send less
    before they are told to go on."""
    log_chars: int = 1024 * 1024
    """Characters of output that ``GET /session/{name}/logs`` can return."""
    keepalive_seconds: float = KEEPALIVE_SECONDS
    """Time between two keep-alive messages of an idle event stream."""
    host_start_seconds: float = 30.0
    """How long a kernel's process host may take to start; usually it takes 30 to 60 ms."""
    host_stop_seconds: float = 2.0
    """How long a process host may take to stop by itself before it is killed."""
    service_start_seconds: float = 5.0
    """How long a service of a kernel that the gateway starts may take to listen."""
    keygen_seconds: float = 60.0
    """How long it may take to make an SSH key pair; usually a moment."""
    sweep_seconds: float = 3600.0
    """Time between two sweeps of what has stayed on the disk of deleted virtual folders, of uploads
    that nobody goes on with, and of gateways that were killed."""
    last_words_seconds: float = 5.0
    """How long a kernel whose process host has died waits for the clients of its runs to ask how
    these have ended."""
    close_seconds: float = 5.0
    """How long all kernels together may take to end when the gateway closes."""
