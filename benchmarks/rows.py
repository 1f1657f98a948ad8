"""What was measured: rows of samples, their ratios and limits. No I/O."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["BARE", "OURS", "Curves", "Limit", "Row", "Spread", "Table", "ratios", "spread"]

OURS = "ours"
BARE = "bare"
"""The physical limit: the same work without client or server, such as a copy on the disk."""


@dataclass(frozen=True)
class Spread:
    """Least, median and most of some values."""

    least: float
    median: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """The spread of one value or more.

    Raises:
        ValueError: there is none.
    """
    if not values:
        raise ValueError("no values")
    return Spread(min(values), statistics.median(values), max(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """The ratio of each round by itself.

    A slow minute of the machine swings the figures of both clients, often by a factor of two; the
    ratio of the round is hardly affected.

    Raises:
        ValueError: the lists differ in length, or a figure to divide by is not positive.
    """
    if any(value <= 0 for value in theirs):
        raise ValueError("a figure to divide by is not positive")
    return [one / two for one, two in zip(ours, theirs, strict=True)]


@dataclass(frozen=True)
class Limit:
    """The most that a row of ours may be."""

    most: float
    of: str = ""
    """Times the figure of this client, or of `BARE`; empty for an absolute value, in the row's
    unit."""


@dataclass(frozen=True)
class Row:
    """One thing that was measured, with a sample of each client and round."""

    group: str
    name: str
    samples: Mapping[str, Sequence[float]]
    """Costs, by client: `OURS`, `BARE`, or the release of an official client. Less is better."""
    unit: str = "s"
    """Of the samples: "s", "bytes" or "count"."""
    size: int = 0
    """Bytes that were moved: the figures are shown as a throughput."""
    bare: str = ""
    """What `BARE` is."""
    limit: Limit | None = None
    headline: bool = False
    """Whether it is shown in the short table."""
    x: float | None = None
    """How many units were held; rows of one `series` make a line in a plot."""
    series: str = ""

    @property
    def reference(self) -> str:
        """What ours is divided by: what the limit names, else a client, else the physical limit."""
        if self.limit is not None and self.limit.of in self.samples:
            return self.limit.of
        others = [who for who in self.samples if who not in (OURS, BARE)]
        return others[0] if others else BARE if BARE in self.samples else ""

    def ratio(self, who: str = "") -> Spread | None:
        """The spread of the rounds' ratios to a client; without one, to the reference."""
        who = who or self.reference
        if not who or who not in self.samples:
            return None
        return spread(ratios(self.samples[OURS], self.samples[who]))

    @property
    def verdict(self) -> str:
        """ "within" or "OVER"; empty without a limit, or when its client is missing."""
        if self.limit is None:
            return ""
        if not self.limit.of:
            value = spread(self.samples[OURS]).median
        else:
            ratio = self.ratio(self.limit.of)
            if ratio is None:
                return ""
            value = ratio.median
        return "within" if value <= self.limit.most else "OVER"

    def to_json(self) -> dict[str, Any]:
        others = [who for who in self.samples if who != OURS]
        measured = {
            "figures": {who: asdict(spread(values)) for who, values in self.samples.items()},
            "ratios": {who: asdict(self.ratio(who) or spread([0.0])) for who in others},
            "verdict": self.verdict,
        }
        return asdict(self) | measured

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Row:
        names = cls.__dataclass_fields__
        fields = {name: value for name, value in data.items() if name in names}
        if fields.get("limit") is not None:
            fields["limit"] = Limit(**fields["limit"])
        return cls(**fields)


@dataclass(frozen=True)
class Table:
    """Figures of several kinds that belong together, and are not compared with another client."""

    group: str
    title: str
    columns: Mapping[str, str]
    """Headings, and the units of the figures below them."""
    lines: Mapping[str, Sequence[float | None]]
    """Of each line: a figure for each column, or None."""
    note: str = ""
    """Below the table."""
    marked: Sequence[str] = ()
    """Lines that stand out."""


@dataclass(frozen=True)
class Curves:
    """Figures over time, for a plot."""

    group: str
    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, Sequence[float]]
    """Of each curve: a figure for each second from 0 on."""
    background: str = ""
    """The curve that the others are seen against."""
