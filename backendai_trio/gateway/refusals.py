"""How any part of the gateway refuses a request."""

from __future__ import annotations

from ..wire.http import Problem

__all__ = ["Refused"]


class Refused(Exception):
    """A request that gets a problem as its answer."""

    def __init__(self, status: int, kind: str, title: str, detail: str = "") -> None:
        super().__init__(title)
        self.problem = Problem(status, kind, title, detail)
