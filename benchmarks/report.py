"""What a run has measured, as JSON, and on one line."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .rows import Curves, Row, Table

__all__ = ["Report"]


@dataclass
class Report:
    """One run of the benchmarks."""

    quick: bool = False
    rows: list[Row] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    curves: list[Curves] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What could not be measured, and why."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each group took."""
    load: tuple[float, float] = (0.0, 0.0)
    """Load of the machine before and after."""
    python: str = field(default_factory=platform.python_version)
    cpus: int = field(default_factory=lambda: os.cpu_count() or 0)
    machine: str = field(default_factory=lambda: f"{platform.system()} {platform.machine()}")

    def add(self, found: Row | Table | Curves) -> None:
        """Add what a group has found."""
        if isinstance(found, Row):
            self.rows.append(found)
        elif isinstance(found, Table):
            self.tables.append(found)
        else:
            self.curves.append(found)

    def of(self, group: str) -> list[Row | Table]:
        """What stands in the tables of a group."""
        return [found for found in (*self.rows, *self.tables) if found.group == group]

    @property
    def over(self) -> list[Row]:
        """Rows over their limits."""
        return [row for row in self.rows if row.verdict == "OVER"]

    @property
    def setting(self) -> str:
        """The machine and the run, on one line."""
        quick = "a quick run" if self.quick else "a run"
        return (
            f"Printed by `python -m benchmarks`: {quick} of {sum(self.seconds.values()) / 60:.0f} "
            f"minutes on {self.machine}, {self.cpus} CPUs, Python {self.python}; load "
            f"{self.load[0]:.1f} before, {self.load[1]:.1f} after."
        )

    def write(self, path: Path) -> None:
        """Write it to a JSON file."""
        data: dict[str, Any] = {
            "quick": self.quick,
            "python": self.python,
            "cpus": self.cpus,
            "machine": self.machine,
            "load": list(self.load),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "missing": self.missing,
            "rows": [row.to_json() for row in self.rows],
            "tables": [asdict(table) for table in self.tables],
            "curves": [asdict(curves) for curves in self.curves],
        }
        path.write_text(json.dumps(_rounded(data), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read what `write` has written."""
        data = json.loads(path.read_text())
        data["rows"] = [Row.from_json(row) for row in data["rows"]]
        data["tables"] = [Table(**table) for table in data.get("tables", ())]
        data["curves"] = [Curves(**curves) for curves in data.get("curves", ())]
        data["load"] = tuple(data["load"])
        return cls(**data)


def _rounded(value: Any) -> Any:
    """Numbers with six digits: the others are noise, and large in a file under version control."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(item) for item in value]
    return value
