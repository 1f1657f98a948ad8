"""Archives of what is in virtual folders."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from backendai_trio.gateway.storage.vfolder_archives import outermost, zip_chunks, zip_paths


@pytest.mark.parametrize(
    ("archive", "names"),
    [
        (lambda root: zip_chunks(root, "."), ["sub/", "sub/deep/", "sub/deep/file"]),
        (lambda root: zip_chunks(root, "sub"), ["deep/", "deep/file"]),
        (lambda root: zip_paths(root, ["sub/deep"]), ["sub/deep/file"]),
        (lambda root: zip_paths(root, ["sub/deep/file"]), ["sub/deep/file"]),
    ],
)
def test_folder_behind_a_link(
    tmp_path: Path, archive: Callable[[Path], Iterator[bytes]], names: list[str]
) -> None:
    """The data folder of a gateway may lie behind one."""
    folder = tmp_path / "real" / "sub" / "deep"
    folder.mkdir(parents=True)
    (folder / "file").write_text("x")
    (tmp_path / "link").symlink_to("real")
    found = b"".join(archive(tmp_path / "link"))
    with ZipFile(io.BytesIO(found)) as opened:
        assert sorted(opened.namelist()) == names
        assert opened.testzip() is None


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a", "a", "/a/"], ["/a/"]),
        (["d", "d/x", "d/y/z", "dx"], ["d", "dx"]),
        (["a/b", "a", "c"], ["a", "c"]),
        (["a/b", "."], ["."]),
        (["/", "a"], ["/"]),
        (["b", "a"], ["b", "a"]),
    ],
)
def test_nothing_is_in_an_archive_twice(paths: list[str], expected: list[str]) -> None:
    assert list(outermost(paths)) == expected
