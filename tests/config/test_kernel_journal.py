"""The journal of kernels, read while other commands write to it."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from backendai_trio.config import Journal

URL = "http://127.0.0.1:8081"


def left_behind(journal: Journal, *tokens: str) -> None:
    """Write the entries of kernels whose clients have been killed."""
    for token in tokens:
        note = journal.note(token, url=URL, access_key="AKIA")
        assert note is not None
        note.close(forget=False)


def tokens(journal: Journal) -> list[str]:
    return [left.token for left in journal.left()]


def test_oldest_kernels_are_first(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    left_behind(journal, "new", "old")
    (old,) = tmp_path.glob("old-*")
    os.utime(old, (1, 1))
    assert tokens(journal) == ["old", "new"]


def test_entry_of_a_living_client_is_passed_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    left_behind(journal, "left")
    note = journal.note("alive", url=URL, access_key="AKIA")
    assert note is not None
    assert tokens(journal) == ["left"]
    note.close(forget=True)
    assert tokens(journal) == ["left"]


def test_entry_that_is_removed_after_it_was_listed_hides_no_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    left_behind(journal, "left")
    # It is listed, and cannot be found: as an entry that its client has just removed.
    (tmp_path / "removed.json").symlink_to(tmp_path / "missing")
    assert tokens(journal) == ["left"]


def test_entry_that_is_removed_before_it_is_locked_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    left_behind(journal, "ended", "left")
    (ended,) = tmp_path.glob("ended-*")
    lock = fcntl.flock

    def lock_late(fd: int, how: int) -> None:
        ended.unlink(missing_ok=True)  # what its client does before it gives the lock up
        lock(fd, how)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    os.utime(ended, (1, 1))
    assert tokens(journal) == ["left"]


def test_clock_that_was_set_back(tmp_path: Path) -> None:
    """An empty entry of the future is removed; one with a kernel is read."""
    journal = Journal(tmp_path)
    left_behind(journal, "left")
    empty, young = tmp_path / "empty-1.json", tmp_path / "young-1.json"
    young.touch()
    empty.touch()
    year = time.time() + 366 * 86400
    for path in tmp_path.iterdir():
        if path != young:
            os.utime(path, (year, year))
    assert tokens(journal) == ["left"]
    assert not empty.exists() and young.exists()
