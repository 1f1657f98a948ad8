"""A program replaces a folder by a link at the very moment when the gateway reads in it."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest

from backendai_trio.gateway.refusals import Refused
from backendai_trio.gateway.storage.vfolder_archives import zip_chunks, zip_paths
from backendai_trio.gateway.storage.vfolder_copy import copy_steps
from backendai_trio.gateway.storage.vfolder_files import list_entries, measure, open_file
from backendai_trio.gateway.storage.workspace import Workspace
from backendai_trio.wire.archives import ArchiveDecoder

LISTS = ("os.listdir", "os.scandir")
_before: dict[str, Callable[[str, str], None]] = {}


def _hook(event: str, args: tuple[object, ...]) -> None:
    """What is opened or listed next, by its name."""
    if _before and (event == "open" or event in LISTS):
        name = f"/proc/self/fd/{args[0]}" if isinstance(args[0], int) else os.fsdecode(args[0])
        for call in list(_before.values()):
            call(event, os.path.realpath(name) if event in LISTS else name)


sys.addaudithook(_hook)  # it cannot be removed, and does nothing unless a test is on


class Swap:
    """A folder ``root/sub``, and another one that a link leads to when it is swapped.

    Attributes:
        done: whether it was.
    """

    def __init__(self, parent: Path) -> None:
        self.parent = parent
        self.root, outside = parent / "root", parent / "outside"
        (self.root / "sub").mkdir(parents=True)
        outside.mkdir()
        (self.root / "sub" / "file").write_text("inside")
        (outside / "file").write_text("outside")
        (outside / "secret").write_bytes(bytes(1000))
        self.workspace = Workspace(self.root, parent)
        self.done = False

    def at_open(self, event: str, name: str) -> None:
        if event == "open" and Path(name).name == "file":
            self.swap()

    def at_list(self, event: str, name: str) -> None:
        if event in LISTS and Path(name) == self.root / "sub":
            self.swap()

    def swap(self) -> None:
        _before.clear()
        (self.root / "sub").rename(self.parent / "moved")
        (self.root / "sub").symlink_to(self.parent / "outside")
        self.done = True


@pytest.fixture
def swap(tmp_path: Path) -> Iterator[Swap]:
    yield Swap(tmp_path)
    _before.clear()


def read(swap: Swap, path: str) -> bytes:
    with open_file(swap.root, path)[0] as file:
        return file.read()


def copied(swap: Swap) -> Path:
    target = swap.parent / "copy"
    target.mkdir()
    for _ in copy_steps(swap.root, target):
        pass
    return target


def unzipped(chunks: Iterator[bytes]) -> dict[str, bytes]:
    with ZipFile(io.BytesIO(b"".join(chunks))) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def unpacked(chunks: Iterator[bytes]) -> tuple[list[str], bytes]:
    names, content, decoder = [], b"", ArchiveDecoder()
    for item in decoder.feed(b"".join(chunks)):
        if isinstance(item, memoryview):
            content += item
        else:
            names.append(item.name)
    return names, content


@pytest.mark.parametrize(
    "content_of",
    [
        lambda s: read(s, "sub/file"),
        lambda s: (copied(s) / "sub" / "file").read_bytes(),
        lambda s: unzipped(zip_chunks(s.root, "."))["sub/file"],
        lambda s: unzipped(zip_chunks(s.root, "sub"))["file"],
        lambda s: b"".join(s.workspace.file("sub/file", limited=False)[1]),
        lambda s: unpacked(s.workspace.archive(["sub"]))[1],
        lambda s: unpacked(s.workspace.archive(["."]))[1],
        lambda s: unpacked(s.workspace.archive(["sub/file"]))[1],
    ],
)
def test_content(swap: Swap, content_of: Callable[[Swap], bytes]) -> None:
    _before["open"] = swap.at_open
    assert content_of(swap) == b"inside"
    assert swap.done


def test_content_of_a_file_that_is_checked_first(swap: Swap) -> None:
    """It is swapped at the check, and is then outside."""
    _before["open"] = swap.at_open
    assert unzipped(zip_paths(swap.root, ["sub/file"])) == {}
    assert swap.done


@pytest.mark.parametrize("name", ["sub", "."])
def test_digests(swap: Swap, name: str) -> None:
    _before["open"] = swap.at_open
    (found,) = swap.workspace.digests(name)
    assert found.sha256 == sha256(b"inside").hexdigest()
    assert swap.done


@pytest.mark.parametrize(
    "names_in",
    [
        lambda s: [file.name for file in list_entries(s.root, "sub").files],
        lambda s: [file.name for file in s.workspace.listing("sub").files],
        lambda s: os.listdir(copied(s) / "sub"),
        lambda s: list(unzipped(zip_chunks(s.root, "."))),
        lambda s: list(unzipped(zip_paths(s.root, ["sub"]))),
        lambda s: unpacked(s.workspace.archive(["sub"]))[0],
        lambda s: unpacked(s.workspace.archive(["."]))[0],
        lambda s: [found.name for found in s.workspace.digests("sub")],
    ],
)
def test_names(swap: Swap, names_in: Callable[[Swap], list[str]]) -> None:
    _before["list"] = swap.at_list
    try:
        found = names_in(swap)
    except (OSError, Refused):
        found = []
    assert swap.done
    assert not [name for name in found if "secret" in name]


def test_size(swap: Swap) -> None:
    _before["list"] = swap.at_list
    assert measure(swap.root)[1] < 1000
    assert swap.done


def test_links_within_the_folder_are_in_archives(swap: Swap) -> None:
    """By their content, which a ZIP archive can hold; those that lead out are not."""
    (swap.root / "link").symlink_to("sub/file")
    (swap.root / "out").symlink_to(swap.parent / "outside" / "file")
    found = unzipped(zip_chunks(swap.root, "."))
    assert found == {"sub/": b"", "sub/file": b"inside", "link": b"inside"}


def test_deep_folders(tmp_path: Path) -> None:
    """Their paths are longer than any that the kernel of the operating system takes."""
    root = tmp_path / "root"
    root.mkdir()
    folder = os.open(root, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=folder)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    (root / "z").write_text("last")
    assert measure(root) == (1, 4)
    assert "z" in unzipped(zip_chunks(root, "."))
