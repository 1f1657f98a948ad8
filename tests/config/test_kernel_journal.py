"""The journal of kernels, read while other commands write to it."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
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


def written(journal: Journal) -> bytes:
    """What an entry consists of, with the kernel's id."""
    note = journal.note("cut", url=URL, access_key="AKIA")
    assert note is not None
    note.identify("an-id")
    note.close(forget=False)
    (path,) = journal.folder.glob("cut-*")
    return path.read_bytes()


def test_entry_that_was_cut_at_any_byte(tmp_path: Path) -> None:
    """The id is lost with its line, and nothing else is; no kernel is created before the first."""
    journal = Journal(tmp_path)
    whole = written(journal)
    (path,) = tmp_path.glob("cut-*")
    first = whole.index(b"\n")
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        found = [(left.token, left.kernel_id) for left in journal.left()]
        if length < first:
            assert found == []
        else:
            assert found == [("cut", "an-id" if length >= len(whole) - 1 else "")]
        assert path.exists()


@pytest.mark.parametrize("content", [b"", b'{"token": "cu'])
def test_entry_without_a_whole_line_is_forgotten_later(tmp_path: Path, content: bytes) -> None:
    journal = Journal(tmp_path)
    (tmp_path / "cut-x.json").write_bytes(content)
    assert tokens(journal) == [] and len(list(tmp_path.iterdir())) == 1
    os.utime(tmp_path / "cut-x.json", (1, 1))
    assert tokens(journal) == [] and list(tmp_path.iterdir()) == []


def test_entry_of_one_line_with_the_id_is_read(tmp_path: Path) -> None:
    """Earlier versions wrote such entries."""
    line = f'{{"token": "old", "endpoint": "{URL}", "access_key": "AKIA", "id": "an-id"}}'
    (tmp_path / "old-x.json").write_text(line)
    ((token, kernel_id),) = [(left.token, left.kernel_id) for left in Journal(tmp_path).left()]
    assert (token, kernel_id) == ("old", "an-id")


def test_entry_that_the_disk_has_no_room_for_is_no_entry(tmp_path: Path) -> None:
    """A write that is cut short by a limit of the file's size, as by a full disk."""
    journal = Journal(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        assert journal.note("cut", url=URL, access_key="AKIA") is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
