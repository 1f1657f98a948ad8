"""Deliberate misbehaviour of a gateway, for tests of clients."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Faults"]


@dataclass
class Faults:
    """What a gateway does wrong on purpose. May be changed while it serves."""

    create_delay_seconds: float = 0.0
    """Time between the arrival of a create request and the kernel's existence, even when the client
    has disconnected. Real managers take some time, too, and a destroy in between finds nothing."""
