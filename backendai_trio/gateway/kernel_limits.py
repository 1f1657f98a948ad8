"""What the programs of a kernel may use."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

__all__ = ["KernelLimits", "parse_bytes"]

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)(?:([kmgtpe])i?)?b?", re.ASCII | re.IGNORECASE)
_UNITS = "kmgtpe"


@dataclass(frozen=True, kw_only=True)
class KernelLimits:
    """What the programs of each kernel may use; 0 is no limit. Part of `GatewayOptions`.

    A kernel that is created with resources (``-r mem=1g -r cpu=2``) is limited to these, too.
    """

    memory_bytes: int = 0
    """Memory of all programs together. They are looked at ten times a second, and once a second at
    least where hundreds of kernels have a limit, or a kernel runs hundreds of programs; when they
    use more, the largest one is killed. No program can reserve more than twice as much for
    itself."""
    cores: int = 0
    """CPU cores. A program that sets its own affinity can take others."""
    processes: int = 0
    """Processes and threads. Holds under bubblewrap, where root does not run the gateway: Linux
    counts them per user and user namespace, and those of root not at all."""
    open_files: int = 0
    """Open files of each process."""
    cpu_seconds: int = 0
    """CPU time of each process."""
    file_bytes: int = 0
    """Size of each file that is written."""

    def with_resources(self, amounts: Mapping[str, str]) -> KernelLimits:
        """The same limits, and those that a kernel is created with.

        Args:
            amounts: amounts by resource slot; others than ``mem`` and ``cpu`` are left out.
        """
        memory = parse_bytes(amounts.get("mem", "0"))
        cores = math.ceil(Fraction(amounts.get("cpu", "0")))
        return replace(
            self,
            memory_bytes=_lower(self.memory_bytes, memory),
            cores=_lower(self.cores, cores),
        )


def parse_bytes(text: str) -> int:
    """Read a number of bytes such as ``512m`` or ``1.5GiB``; units are powers of 1024.

    Args:
        text: the number and its unit; bytes without one.

    Returns:
        How many bytes they are.

    Raises:
        ValueError: it is none.
    """
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no number of bytes, such as 512m or 4g")
    power = _UNITS.index(found[2].lower()) + 1 if found[2] else 0
    return int(Fraction(found[1]) * 1024**power)


def _lower(one: int, other: int) -> int:
    return min(filter(None, (one, other)), default=0)
