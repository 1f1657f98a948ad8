"""The table that the contract suite prints."""

from __future__ import annotations

from .capabilities import CAPABILITIES
from .table import AREAS, ResultTable


def test_rows_say_what_was_seen() -> None:
    table = ResultTable()
    for outcome in ("passed", "passed", "failed"):
        table.add("23.9.10", "test_files", ["session-files"], outcome)
    table.add("23.9.10", "test_folders", ["folder-moves"], "failed")
    table.add("23.9.10", "test_services", ["events"], "passed")
    table.add("1.3.12", "test_files", [], "passed")
    lines = table.lines()
    assert lines[:2] == ["|  | 23.9.10 | 1.3.12 |", "| --- | --- | --- |"]
    cells = {title: rest for title, *rest in (line[2:-2].split(" | ") for line in lines[2:])}
    assert cells[AREAS["test_files"]] == ["2 of 3", "1"]
    assert cells[AREAS["test_admin"]] == ["", ""]
    # What a release cannot do is "no", whatever ran.
    assert cells[CAPABILITIES["session-files"]] == ["in part", "no"]
    assert cells[CAPABILITIES["folder-moves"]] == ["fails", "no"]
    assert cells[CAPABILITIES["events"]] == ["yes", "no"]
    assert cells[CAPABILITIES["complete"]] == ["no", "no"]
