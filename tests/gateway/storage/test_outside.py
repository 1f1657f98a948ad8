"""Links that a kernel's programs make lead no request for files out of the kernel's folders."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backendai_trio import (
    BackendError,
    GatewayOptions,
    KernelSpec,
    TrioKernel,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.gateway.processes.isolation import Isolation
from backendai_trio.gateway.storage.held_folders import held_folder
from backendai_trio.gateway.storage.held_trees import merge_tree
from backendai_trio.gateway.storage.vfolder_files import measure


@pytest.fixture
async def kernel(bubblewrap: Isolation, gateway_parent: Path) -> AsyncIterator[TrioKernel]:
    async with (
        open_gateway(GatewayOptions(isolation="bubblewrap")) as gateway,
        open_client(gateway.config) as client,
        open_kernel(client, KernelSpec(runtime="python")) as opened,
    ):
        yield opened


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "kept").write_text("x")
    return folder


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def tree(folder: Path) -> Path:
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "file").write_text("x")
    return folder


async def test_target_of_an_upload(kernel: TrioKernel, outside: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    await kernel.run(f"import os; os.symlink({str(outside)!r}, 'd')")
    with pytest.raises(BackendError):
        await kernel.upload([tmp_path / "file"], base=tmp_path, to="d")
    assert names_in(outside) == ["kept"]


async def test_work_folder_itself(kernel: TrioKernel, outside: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    code = f"import os; os.rename('../work', '../w'); os.symlink({str(outside)!r}, '../work')"
    await kernel.run(code)
    with pytest.raises(BackendError):
        await kernel.upload([tmp_path / "file"], base=tmp_path)
    with pytest.raises(BackendError):
        await kernel.remove(["kept"])
    with pytest.raises(BackendError):
        await kernel.mkdir("new")
    assert names_in(outside) == ["kept"]
    with pytest.raises(BackendError):
        await kernel.download(["kept"], tmp_path / "got")


async def test_unfinished_uploads_are_out_of_reach(kernel: TrioKernel) -> None:
    """A program could put a link in the place of one of their folders."""
    code = "import os; print(os.path.exists(os.path.realpath('..') + '.staging'))"
    assert (await kernel.run(code))["console"] == [("stdout", "False\n")]


# -- without a kernel -----------------------------------------------------------------------------


def test_folder_that_is_replaced_while_it_is_held(tmp_path: Path, outside: Path) -> None:
    root = tmp_path / "root"
    with held_folder(root / "a" / "b", [tmp_path], make=True) as held:
        (root / "a").rename(root / "moved")
        (root / "a").mkdir()
        (root / "a" / "b").symlink_to(outside)
        (held / "file").write_text("x")
    assert names_in(root / "moved" / "b") == ["file"]
    assert names_in(outside) == ["kept"]


def test_links_to_other_roots_are_followed(tmp_path: Path, outside: Path) -> None:
    """Virtual folders are links in the work folder."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "data").symlink_to(outside)
    with held_folder(root / "data", [root, outside]) as held:
        assert names_in(held) == ["kept"]
    for make in (False, True):
        with pytest.raises(OSError, match="out of the folder"):
            held_folder(root / "data" / "new", [root], make=make).__enter__()
    with pytest.raises(FileNotFoundError):
        held_folder(root / "none", [root]).__enter__()
    (root / "loop").symlink_to("loop")
    with pytest.raises(OSError):
        held_folder(root / "loop" / "a", [root], make=True).__enter__()


@pytest.mark.parametrize("link", ["root", "below"])
def test_nothing_is_made_through_a_link(tmp_path: Path, outside: Path, link: str) -> None:
    """A link that appears when the path has been resolved."""
    root = tmp_path / "root"
    if link == "root":
        root.symlink_to(outside)
        with pytest.raises(OSError, match="out of the folder"):
            held_folder(root / "a", [root], make=True).__enter__()
    else:
        root.mkdir()
        (root / "a").symlink_to(outside)
        with held_folder(root, [root]) as held, pytest.raises(NotADirectoryError):
            merge_tree(tree(tmp_path / "new"), held)
    assert names_in(outside) == ["kept"]


def test_merged_trees(tmp_path: Path) -> None:
    target = tree(tmp_path / "target")
    (target / "a" / "other").write_text("stays")
    (target / "a" / "file").write_text("old")
    (target / "link").symlink_to("a")
    source = tree(tmp_path / "source")
    (source / "link").write_text("replaced")
    with held_folder(target, [tmp_path]) as held:
        merge_tree(source, held)
    assert names_in(target / "a") == ["file", "other"]
    assert (target / "a" / "file").read_text() == "x"
    assert not (target / "link").is_symlink()
    # Nothing is moved when there is a conflict.
    source = tree(tmp_path / "source2")
    (source / "z").mkdir()
    (target / "z").write_text("file")
    (target / "a" / "file").write_text("old")
    with held_folder(target, [tmp_path]) as held, pytest.raises(NotADirectoryError):
        merge_tree(source, held)
    assert (target / "a" / "file").read_text() == "old"


def test_deep_trees(tmp_path: Path) -> None:
    """Deeper than Python calls itself."""
    inner = "d/" * 1200
    try:
        for name in ("source", "target"):
            for depth in range(0, len(inner) + 1, 2):  # `mkdir` makes parents by recursion
                (tmp_path / name / inner[:depth]).mkdir()
            (tmp_path / name / inner / name).write_text("x")
        with held_folder(tmp_path / "target", [tmp_path]) as held:
            merge_tree(tmp_path / "source", held)
        assert names_in(tmp_path / "target" / inner) == ["source", "target"]
        assert measure(tmp_path / "target") == (2, 2)
    finally:
        # Python cannot remove them.
        subprocess.run(["rm", "-r", tmp_path / "source", tmp_path / "target"], check=True)
