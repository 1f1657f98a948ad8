"""How much is tried, and from which seed; both can be set by the environment."""

from __future__ import annotations

import os
import random

__all__ = ["KILLS", "ROUNDS", "SEED", "chance", "share"]

ROUNDS = int(os.environ.get("BACKENDAI_FUZZ_ROUNDS", "100"))
"""Cancellations on all faces and in commands."""
KILLS = max(6, ROUNDS * 3 // 20)
"""Processes that are killed, in addition."""
SEED = int(os.environ.get("BACKENDAI_FUZZ_SEED", "2018"))


def chance(*names: object) -> random.Random:
    """The source of a test's random choices; the same for the same names and seed."""
    return random.Random(repr((SEED, names)))


def share(percent: int, at_least: int = 1) -> int:
    """This much of `ROUNDS`."""
    return max(at_least, ROUNDS * percent // 100)
