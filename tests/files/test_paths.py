"""What replaces what on the local disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from backendai_trio.files.paths import PendingFile, link_target, place, place_tree


@pytest.fixture
def new(tmp_path: Path) -> Path:
    path = tmp_path / "new"
    path.write_text("new")
    return path


def test_a_pipe_is_never_replaced(new: Path, tmp_path: Path) -> None:
    target = tmp_path / "d" / "pipe"
    target.parent.mkdir()
    os.mkfifo(target)
    with pytest.raises(FileExistsError, match="a device, a pipe or a socket"):
        place(new, target, overwrite=True, like_cp=True)
    with (
        PendingFile(target, overwrite=True, like_cp=True) as pending,
        pytest.raises(FileExistsError, match="a device, a pipe or a socket"),
    ):
        pending.complete()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "other").write_text("x")
    (tmp_path / "tree" / "pipe").write_text("x")
    with pytest.raises(FileExistsError, match="a device, a pipe or a socket"):
        place_tree(tmp_path / "tree", target.parent, overwrite=True, like_cp=True)
    assert stat.S_ISFIFO(target.stat().st_mode)
    assert os.listdir(target.parent) == ["pipe"]
    place(new, target, overwrite=True)  # in a folder that kernels write to as well
    assert target.read_text() == "new"


@pytest.mark.parametrize("kept", [True, False])
def test_permissions_of_a_replaced_file(new: Path, tmp_path: Path, kept: bool) -> None:
    new.chmod(0o644)
    target = tmp_path / "target"
    target.write_text("old")
    target.chmod(0o750)
    place(new, target, overwrite=True, like_cp=kept)
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == (0o750 if kept else 0o644)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "target").write_text("newer")
    (tmp_path / "tree" / "target").chmod(0o600)
    place_tree(tmp_path / "tree", tmp_path, overwrite=True, like_cp=kept)
    assert target.read_text() == "newer"
    assert stat.S_IMODE(target.stat().st_mode) == (0o750 if kept else 0o600)


def test_a_link_is_replaced_and_its_target_can_be_asked_for(new: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "file").write_text("old")
    link = tmp_path / "link"
    link.symlink_to("far/file")
    assert link_target(link) == (tmp_path / "far" / "file").resolve()
    assert link_target(new) == new
    place(new, link, overwrite=True)
    assert not link.is_symlink()
    assert (tmp_path / "far" / "file").read_text() == "old"
