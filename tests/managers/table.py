"""The table of releases: what the contract suite has seen hold on each, as Markdown."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from .capabilities import CAPABILITIES, limits_of

__all__ = ["AREAS", "ResultTable"]

AREAS = {
    "test_sessions": "sessions: create, join, two at a time, names, destroy",
    "test_execution": "running code: queries, files, input, output, failures",
    "test_cancellation": "cancelled creates and runs leave nothing",
    "test_files": "uploads of every size and number",
    "test_folders": "virtual folders, and files in them",
    "test_services": "events, services, terminals, the proxy",
    "test_sweeps": "sweeps",
    "test_admin": "lists, key pairs, logins",
    "test_lists": "lists in pages, filtered and sorted",
    "test_resources": "resource groups, presets, limits",
    "test_projects": "users of other projects than the default one",
    "test_settings": "dotfiles, SSH key pair, announcements",
    "test_templates": "templates of sessions",
    "test_administration": "what administrators make, change and remove",
    "test_commands": "the commands",
}
"""Modules of the suite, and what each is about."""
_HOLDS = "yes"


class ResultTable:
    """Counts results, and writes them as a table: a row for each area and each capability."""

    def __init__(self) -> None:
        self._counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._targets: dict[str, None] = {}

    def add(self, target: str, module: str, needs: Iterable[str], outcome: str) -> None:
        """Count a test.

        Args:
            target: what it ran on.
            module: the last part of its module's name.
            needs: capabilities that it needs.
            outcome: ``passed`` or ``failed``.
        """
        self._targets.setdefault(target)
        for row in (module, *needs):
            self._counts[row, target][outcome] += 1

    def lines(self) -> list[str]:
        """The table."""
        targets = list(self._targets)
        found = [_row(["", *targets]), _row(["---"] * (len(targets) + 1))]
        for module, title in AREAS.items():
            counts = [self._counts[module, target] for target in targets]
            found.append(_row([title, *map(_passed, counts)]))
        for name, title in CAPABILITIES.items():
            cells = [
                _cell(self._counts[name, target], limits_of(target), name) for target in targets
            ]
            if any(cells):
                found.append(_row([title, *cells]))
        return found


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _passed(counts: Mapping[str, int]) -> str:
    passed, failed = counts.get("passed", 0), counts.get("failed", 0)
    if not passed + failed:
        return ""
    return f"{passed} of {passed + failed}" if failed else str(passed)


def _cell(counts: Mapping[str, int], limits: Mapping[str, object], name: str) -> str:
    if name in limits:
        return "no"
    if not counts:
        return ""
    return _HOLDS if not counts.get("failed") else "in part" if counts.get("passed") else "fails"
