"""The fault matrix: every call of the public API meets every fault on the way to the server.

A cell holds if the call succeeds and its result is right, or if it raises an error of the library's
by itself. The table is printed at the end of the run (`report`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from . import (
    administration_rows,
    folder_rows,
    kernel_file_rows,
    kernel_rows,
    login_rows,
    running_rows,
    sharing_rows,
    template_rows,
    user_rows,
)
from .cells import Result
from .columns import COLUMNS
from .public_calls import NOT_CALLS, public_calls
from .report import PROPERTY, describe, encode_results, table_of
from .rows import ROWS, run_rows

#: They enter the rows.
MODULES = (
    administration_rows,
    folder_rows,
    kernel_file_rows,
    kernel_rows,
    login_rows,
    running_rows,
    sharing_rows,
    template_rows,
    user_rows,
)

#: A row of each kind, for each run of the tests.
SLICE = (
    "TrioKernel.execute",
    "TrioKernel.rename",
    "TrioKernel.upload",
    "TrioVFolder.rename",
    "admin.create_row",
    "login.log_in",
    "open_client",
)


def check(names: Sequence[str], folder: Path, record: pytest.RecordProperty) -> None:
    """Run rows, and keep their results for the table."""
    folder.mkdir()
    results = trio.run(run_rows, [ROWS[name] for name in names], folder)
    record(PROPERTY, encode_results(results))
    wrong = [describe(result) for result in results if result.fault_of_client]
    assert not wrong, "\n".join(wrong)
    assert {result.row for result in results} == set(names)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_row(
    name: str, tmp_path: Path, gateway_parent: Path, record_property: pytest.RecordProperty
) -> None:
    check([name], tmp_path / "cells", record_property)


def test_slice(
    tmp_path: Path, gateway_parent: Path, record_property: pytest.RecordProperty
) -> None:
    check(SLICE, tmp_path / "cells", record_property)


def test_every_public_call_has_a_row() -> None:
    calls = public_calls()
    assert "TrioKernel.upload" in calls and "vfolders.list_hosts" in calls
    rows = {name for entry in ROWS.values() for name in (entry.name, *entry.also)}
    assert sorted(calls - rows - NOT_CALLS.keys()) == []
    assert sorted((rows | NOT_CALLS.keys()) - calls) == []
    assert sum(1 + len(entry.also) for entry in ROWS.values()) == len(rows)


def test_results_make_a_table() -> None:
    results = [
        Result("a.b", (), COLUMNS[0].name, 0, "ok", hit=True),
        Result("a.b", (), COLUMNS[0].name, 1, "ConnectionFailed", hit=True),
        Result("a.b", (), COLUMNS[1].name, 0, "ok", "hangs", hit=True),
    ]
    table = table_of(results)
    assert "a.b  C!" in table
    assert "1 calls, 3 cells" in table and "! a.b / cut in head [0]: hangs" in table
