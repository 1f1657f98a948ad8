"""Misbehaviour to order, for tests of clients."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Faults"]


@dataclass
class Faults:
    """What a gateway does wrong on purpose. May be changed while it serves."""

    create_delay_seconds: float = 0.0
    """Time between a create's arrival and its kernel's existence, even when the client has gone:
    real managers take some, and a destroy that comes in between finds nothing."""
