"""The fault matrix as a table, printed at the end of a test run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pytest

from .cells import Result
from .columns import COLUMNS

__all__ = ["PROPERTY", "describe", "encode_results", "pytest_terminal_summary", "table_of"]

PROPERTY = "fault matrix"
#: Letters of the table for what came of a cell.
SIGNS = {
    "ok": ".",
    "deadline": "t",
    "ApiError": "R",
    "AuthError": "A",
    "BrokenResourceError": "B",
    "ConfigError": "G",
    "ConnectionFailed": "C",
    "DownloadError": "D",
    "ExecutionError": "X",
    "InvalidRequest": "I",
    "LocalProtocolError": "L",
    "NotFound": "N",
    "QuotaExceeded": "Q",
    "RemoteProtocolError": "P",
    "ServerError": "S",
    "UploadError": "U",
    "WebSocketsBlocked": "W",
}
BAD = "!"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"


def encode_results(results: Iterable[Result]) -> str:
    """The results of a row, for its test's report."""
    return json.dumps([asdict(result) for result in results])


def table_of(results: list[Result]) -> str:
    """The table, with what its letters mean.

    Args:
        results: of all cells that ran.
    """
    columns = [column.name for column in COLUMNS]
    legend = ", ".join(f"{letter} {name}" for letter, name in zip(LETTERS, columns, strict=False))
    signs = ", ".join(f"{sign} {name}" for name, sign in SIGNS.items())
    rows: dict[str, dict[str, list[Result]]] = {}
    for result in results:
        for name in (result.row, *result.also):
            rows.setdefault(name, {}).setdefault(result.column, []).append(result)
    width = max(map(len, rows), default=0)
    lines = [f"{'':{width}}  {LETTERS[: len(columns)]}"]
    for name, cells in sorted(rows.items()):
        line = "".join(_sign(cells.get(column, [])) for column in columns)
        slowest = max(cell.seconds for group in cells.values() for cell in group)
        lines.append(f"{name:{width}}  {line}  {slowest:4.1f} s")
    bad = [result for result in results if result.fault_of_client]
    done = [result for result in results if result.hit]
    counts = (
        f"{len(rows)} calls, {len(results)} cells, {len(done)} of them met their fault: "
        f"{sum(result.outcome == 'ok' for result in done)} succeeded, "
        f"{sum(result.outcome not in ('ok', 'deadline') for result in done)} raised an error of "
        f"the library's, {sum(result.outcome == 'deadline' for result in done)} waited for the "
        f"caller's deadline as documented, {len(bad)} were wrong"
    )
    told = [f"{BAD} {describe(result)}" for result in bad]
    return "\n".join([*lines, f"Columns: {legend}", f"Cells: {signs}, {BAD} wrong", counts, *told])


def describe(result: Result) -> str:
    """One line for a cell: the call, what went wrong at which of its requests, and what came."""
    return f"{result.row} / {result.column} [{result.skipped}]: {result.fault_of_client}"


def _sign(cells: list[Result]) -> str:
    """One letter for the cells of a fault that met one request of the call after the other."""
    if not cells:
        return " "
    if any(cell.fault_of_client for cell in cells):
        return BAD
    failed = [cell for cell in cells if cell.outcome != "ok"]
    return SIGNS.get(failed[0].outcome, "E") if failed else "."


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of what ran, and keep it where the artefacts of the run go."""
    results = [
        Result(**fields)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in getattr(report, "user_properties", ())
        if name == PROPERTY
        for fields in json.loads(value)
    ]
    if not results:
        return
    table = table_of(results)
    terminalreporter.section("fault matrix")
    terminalreporter.write_line(table)
    if kept := os.environ.get("BACKENDAI_TESTS_ARTIFACTS"):
        folder = Path(kept)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "fault-matrix.txt").write_text(f"{table}\n")
        (folder / "fault-matrix.json").write_text(encode_results(results))
