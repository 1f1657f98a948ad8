"""What the groups of a run share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .peers import NEWEST, USUAL
from .servers import clean_environment

__all__ = ["Setting"]


@dataclass(frozen=True)
class Setting:
    """How a run measures, and with what."""

    quick: bool = False
    """Fewer rounds, and less in each."""
    peers: Mapping[str, Path] = field(default_factory=dict)
    """The folders of commands of the official clients, by release."""
    managers: tuple[str, ...] = ()
    """Releases of real managers to measure on."""
    rounds: int | None = None
    """Rounds of everything, instead of each group's own number."""
    minutes: float | None = None
    """Of the group `soak`."""

    def count(self, full: int, quick: int) -> int:
        """A size of this run."""
        return quick if self.quick else full

    def round_count(self, full: int, quick: int) -> int:
        """The rounds of this run."""
        return self.rounds or self.count(full, quick)

    @property
    def usual(self) -> Path | None:
        """The commands of the client that rows are compared with."""
        return self.peers.get(USUAL)

    @property
    def newest(self) -> Path | None:
        """The commands of the newest client."""
        return self.peers.get(NEWEST)

    @contextmanager
    def place(self) -> Iterator[tuple[Path, dict[str, str]]]:
        """An empty folder, and an environment that has it for HOME and for temporary files."""
        folder = Path(tempfile.mkdtemp(prefix="backendai-bench-"))
        try:
            yield folder, clean_environment(folder)
        finally:
            # Processes that a group has ended may still be writing there.
            shutil.rmtree(folder, ignore_errors=True)
