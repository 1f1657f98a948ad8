"""Time limits and sizes of a gateway."""

from __future__ import annotations

from dataclasses import dataclass

from ..wire.events import KEEPALIVE_SECONDS

__all__ = ["GatewayLimits"]


@dataclass(frozen=True, kw_only=True)
class GatewayLimits:
    """Time limits (in seconds) and sizes of a gateway; part of `GatewayOptions`.

    The defaults suit people and programs on one machine. Tests shorten them.
    """

    max_body_bytes: int = 64 * 1024 * 1024
    """Largest request body that is read into memory. Files are streamed and not limited by this."""
    max_create_bytes: int = 1024 * 1024
    """Largest body of a request that creates a kernel: kernels that wait are kept in memory with
    theirs, and no program could be started with much more (its variables, its command)."""
    poll_seconds: float = 2.0
    """How long a poll for a run's output waits (docs/protocol.md, section 4.3)."""
    abandoned_seconds: float = 10.0
    """A run that no client has polled for this long is interrupted when another run waits."""
    resume_seconds: float = 60.0
    """How long the client of a resumable stream may be away before its run is interrupted, or its
    terminal's output is no longer kept in full."""
    output_bytes: int = 1024 * 1024
    """Output of a run or terminal that is buffered before the program has to wait."""
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
    close_seconds: float = 5.0
    """How long all kernels together may take to end when the gateway closes."""
