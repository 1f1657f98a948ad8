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
    trash: bool = False
    """Deleted virtual folders go to a trash, and keep their names there, as on managers from 24.03
    on (docs/protocol.md, section 7.5)."""
    clone_fails: bool = False
    """The background task of a clone fails, and leaves no folder."""
    app_proxy: str = ""
    """Address of an app proxy that services are said to be started for; there is none behind it."""
    stage_gap_seconds: float = 0.0
    """What a batch run prints within this time after a stage's end was reported is lost, and so is
    its own end, as with the agents of managers from 24.09.12 on (docs/protocol.md, section 4.7).
    Only for clients that do not use resumable streams."""
    clock_skew_seconds: float = 0.0
    """How far the gateway's clock is ahead of the machine's, when it judges the date of requests
    (docs/protocol.md, section 2.1)."""
    start_failure: str = ""
    """Why kernels cannot be started; empty if they can."""
