"""What replaces what on the local disk."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from backendai_trio.errors import LocalProtocolError, RemoteProtocolError
from backendai_trio.files.paths import check_remote_folder, link_target, safe_join
from backendai_trio.files.pending import PendingFile
from backendai_trio.files.placing import place, place_tree
from backendai_trio.files.tar import Extractor
from backendai_trio.wire.archives import END, Entry, encode_entry


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


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_links_in_a_circle(tmp_path: Path, names: list[str]) -> None:
    for name, following in zip(names, [*names[1:], names[0]], strict=True):
        (tmp_path / name).symlink_to(following)
    with pytest.raises(OSError, match="symbolic links") as caught:
        link_target(tmp_path / names[0])
    assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_a_private_file_is_readable_by_nobody_else_at_any_time(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "key"
    target.write_text("old")
    target.chmod(mode)
    with PendingFile(target, overwrite=True, like_cp=True) as pending:
        pending.write(b"new")
        assert stat.S_IMODE(pending.path.stat().st_mode) == 0o600
        pending.complete()
    assert stat.S_IMODE(target.stat().st_mode) == mode
    assert target.read_text() == "new"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root gives files")
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o4755])
@pytest.mark.parametrize("way", ["place", "place_tree", "PendingFile"])
def test_the_owner_of_a_replaced_file(tmp_path: Path, mode: int, way: str) -> None:
    target = tmp_path / "d" / "f"
    target.parent.mkdir()
    target.write_text("old")
    os.chown(target, 12345, 54321)
    target.chmod(mode)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "f").write_text("new")
    if way == "place":
        place(tmp_path / "new" / "f", target, overwrite=True, like_cp=True)
    elif way == "place_tree":
        place_tree(tmp_path / "new", target.parent, overwrite=True, like_cp=True)
    else:
        with PendingFile(target, overwrite=True, like_cp=True) as pending:
            pending.write(b"new")
            pending.complete()
    state = target.stat()
    assert (target.read_text(), state.st_uid, state.st_gid) == ("new", 12345, 54321)
    assert stat.S_IMODE(state.st_mode) == mode


@pytest.mark.parametrize("name", ["x:y", "C:", "a/b:c", "nul:$DATA", "C:evil", "12:30.log"])
def test_names_with_colons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """On Windows a colon names a drive, or a hidden stream of a file."""
    archive = encode_entry(Entry(name, "file")) + END
    assert safe_join(tmp_path, name) == tmp_path / name
    with Extractor(tmp_path) as extractor:
        extractor.feed(archive)
    assert (tmp_path / name).is_file()
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(LocalProtocolError, match="colon"):
        safe_join(tmp_path, name)
    with Extractor(tmp_path) as extractor, pytest.raises(RemoteProtocolError, match="colon"):
        extractor.feed(archive)


@pytest.mark.skipif(sys.platform == "win32", reason="its paths are too short for this")
def test_deep_trees(tmp_path: Path) -> None:
    """Deeper than Python calls itself."""
    inner = "d/" * 1200
    try:
        for name in ("source", "target"):
            for depth in range(0, len(inner) + 1, 2):  # `mkdir` makes parents by recursion
                (tmp_path / name / inner[:depth]).mkdir()
            (tmp_path / name / inner / name).write_text("x")
        place_tree(tmp_path / "source", tmp_path / "target", overwrite=False)
        assert sorted(os.listdir(tmp_path / "target" / inner)) == ["source", "target"]
    finally:
        # Python cannot remove them.
        subprocess.run(["rm", "-r", tmp_path / "source", tmp_path / "target"], check=True)


@pytest.mark.parametrize(
    ("path", "clean"),
    [("", ""), (".", ""), ("./", ""), ("a", "a"), ("a/", "a"), ("./a//b/", "a/b")],
)
def test_folders_to_upload_to(path: str, clean: str) -> None:
    assert check_remote_folder(path) == clean


@pytest.mark.parametrize("path", ["/", "//", "/etc", "..", "a/../..", "../", "a\\b", "a\nb"])
def test_folders_outside_of_the_work_folder(path: str) -> None:
    with pytest.raises(LocalProtocolError):
        check_remote_folder(path)
