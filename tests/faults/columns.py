"""The columns of the fault matrix: what goes wrong on the way to the server."""

from __future__ import annotations

from dataclasses import dataclass

from backendai_trio.testing import (
    Cut,
    Delay,
    Drip,
    Duplicate,
    Fault,
    MalformedJson,
    Reorder,
    Reply,
    SlowRead,
    Stall,
    Vanish,
    WrongLength,
)

__all__ = ["COLUMNS", "CONTROL", "Column"]

HTML = b"<!DOCTYPE html><html><body>Please log in to the network</body></html>"
TOO_MANY = (
    b'{"type":"https://api.backend.ai/probs/rate-limit-exceeded","title":"Too many requests"}'
)


@dataclass(frozen=True)
class Column:
    """One thing that goes wrong."""

    name: str
    fault: Fault | None
    every: bool = False
    """It happens to each request of the call; else to one of them, to each in its turn."""
    harmless: bool = False
    """The call must succeed."""
    skewed: bool = False
    """The client's clock is an hour ahead of the server's."""


CONTROL = Column("no fault", None, harmless=True)
COLUMNS = (
    Column("cut at 0", Cut()),
    Column("cut in head", Cut(20)),
    Column("cut in body", Cut(1, "body")),
    Column("cut at body byte 100", Cut(100, "body")),
    Column("cut at 0, always", Cut(), every=True),
    Column("reset in body", Cut(1, "body", reset=True)),
    Column("stalled at 0", Stall()),
    Column("stalled in body", Stall(1, "body")),
    Column("stalled at 0, always", Stall(), every=True),
    Column("delayed", Delay(0.2), harmless=True),
    Column("reordered", Reorder(0.3), harmless=True),
    Column("duplicated", Duplicate()),
    Column("slow answers", Drip(64, 0.001), every=True, harmless=True),
    Column("slow reads", SlowRead(2048, 0.005), every=True, harmless=True),
    Column("429", Reply(429, TOO_MANY, "application/problem+json")),
    Column("429, always", Reply(429, TOO_MANY, "application/problem+json"), every=True),
    Column("502", Reply(502, HTML)),
    Column("502 after it was done", Reply(502, HTML, forward=True)),
    Column("503, always", Reply(503, HTML), every=True),
    Column("malformed JSON", MalformedJson()),
    Column("length too long", WrongLength(5)),
    Column("length too short", WrongLength(-5)),
    Column("web page", Reply(200, HTML)),
    Column("web page, always", Reply(200, HTML), every=True),
    Column("skewed clock", None, skewed=True),
    Column("half-open", Vanish()),
    Column("half-open, gone", Vanish(reachable=False)),
)
