"""Folders that kernels share with the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Share"]


@dataclass(frozen=True)
class Share:
    """A folder outside of a kernel's own that the kernel may use."""

    path: Path
    writable: bool
