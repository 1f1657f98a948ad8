"""Times of files, as servers and archives tell them."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["known_time"]

Seconds = TypeVar("Seconds", int, float)

_EARLIEST = -62_104_060_800
"""The first second of the year 2."""
_LATEST = 253_370_764_799
"""The last second of the year 9998. `datetime` has the times between these in each time zone, and
systems can set them."""


def known_time(seconds: Seconds) -> Seconds:
    """The time of a file, or 0 if it is none that a file can have.

    Args:
        seconds: since 1970, of any size; or not a number.

    Returns:
        The time, of the same type. 0 stands for a time that is not known.
    """
    return seconds if _EARLIEST <= seconds <= _LATEST else type(seconds)(0)
