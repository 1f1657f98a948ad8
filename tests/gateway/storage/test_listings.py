"""A program removes files at the very moment when the gateway lists them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from backendai_trio.gateway.storage.vfolder_files import list_entries
from backendai_trio.gateway.storage.workspace import Workspace
from backendai_trio.wire.files import Listing


@contextmanager
def removed_when_examined(name: str) -> Iterator[None]:
    """Each entry of this name is removed after the list has it, and before its state is read."""

    def profile(_frame: FrameType, event: str, called: object) -> None:
        entry = getattr(called, "__self__", None)
        if event == "c_call" and isinstance(entry, os.DirEntry) and entry.name == name:
            Path(entry.path).unlink(missing_ok=True)

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize(
    "list_folder",
    [lambda root: Workspace(root, root.parent).listing("."), lambda root: list_entries(root, ".")],
    ids=["kernel", "vfolder"],
)
def test_what_is_removed_meanwhile_is_left_out(
    tmp_path: Path, list_folder: Callable[[Path], Listing]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in "abc":
        (root / name).touch()
    with removed_when_examined("b"):
        listing = list_folder(root)
    assert not (root / "b").exists()
    assert [file.name for file in listing.files] == ["a", "c"]
    assert not listing.problem
