"""Rows of the group `load`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..clients.work import percentile
from ..rows import BARE, OURS, Limit, Row
from ..workers import MeasuringFailed

__all__ = ["GATEWAY_BYTES", "NAME", "amount", "p50_and_p99", "refusal", "seconds"]

NAME = "load"
GATEWAY_BYTES = 16 * 2**30
"""What a gateway and all its kernels may take together."""


def seconds(name: str, value: float, most: float | None = None) -> Row:
    """A row of seconds."""
    return Row(NAME, name, {OURS: [value]}, limit=None if most is None else Limit(most))


def amount(name: str, value: float, unit: str = "bytes", most: float | None = None) -> Row:
    """A row of bytes, or of things that are counted."""
    return Row(NAME, name, {OURS: [value]}, unit, limit=None if most is None else Limit(most))


def p50_and_p99(
    name: str, values: Sequence[float], *, before: Sequence[float] = (), bare: str = ""
) -> Iterator[Row]:
    """Two rows.

    Args:
        name: of what took so long.
        values: seconds.
        before: the same without the load.
        bare: what `before` is.
    """
    for percent in (50, 99):
        samples = {OURS: [percentile(values, percent)]}
        if before:
            samples[BARE] = [percentile(before, percent)]
        yield Row(NAME, f"{name}, p{percent}", samples, bare=bare if before else "")


def refusal(name: str, figures: Mapping[str, Any], wanted: str) -> Row:
    """The row of a refusal: the seconds until it came.

    Args:
        name: what was refused.
        figures: those of the worker.
        wanted: how it is to be refused: the error's type and status.

    Raises:
        MeasuringFailed: it was refused in another way.
    """
    how = str(figures["how"])
    if not how.startswith(wanted):
        raise MeasuringFailed(f"{name}: refused with {how} instead of {wanted}")
    return seconds(f"{name}, refused ({wanted}) after", float(figures["seconds"]))
