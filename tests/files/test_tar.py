"""Archives on disk: nothing escapes the folder they are extracted to."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from backendai_trio.errors import LocalProtocolError, RemoteProtocolError
from backendai_trio.files.archives import archive, sealed
from backendai_trio.files.exclusions import Exclusions
from backendai_trio.files.paths import safe_join
from backendai_trio.files.pending import PendingFile, pending_folder
from backendai_trio.files.placing import place_tree
from backendai_trio.files.tar import Extractor


def made(*members: tuple[str, bytes, str]) -> bytes:
    """A tar archive of (name, type, link target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            content = b"content" if kind == tarfile.REGTYPE else b""
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def extract(data: bytes, folder: Path, **options: int) -> None:
    with Extractor(folder, **options) as extractor:
        extractor.feed(data)
        extractor.finish()


FILE, LINK, HARD = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def test_there_and_back(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a" / "empty").mkdir(parents=True)
    (source / "a" / "file").write_bytes(os.urandom(3_000_000))
    (source / "run").write_text("#!/bin/sh")
    (source / "run").chmod(0o755)
    (source / "a" / "link").symlink_to("../run")
    target = tmp_path / "target"
    target.mkdir()
    with Extractor(target) as extractor:
        for piece in sealed(archive([(source, "source")])):
            extractor.feed(piece)
        extractor.finish(sealed=True)
    assert (target / "source/a/file").read_bytes() == (source / "a/file").read_bytes()
    assert (target / "source/a/empty").is_dir()
    assert os.access(target / "source/run", os.X_OK)
    assert not os.access(target / "source/a/file", os.X_OK)
    assert (target / "source/a/link").readlink() == Path("../run")


@pytest.mark.parametrize(
    "members",
    [
        [("out", LINK, "/etc")],
        [("out", LINK, "..")],
        [("a/out", LINK, "../../x")],
        [("d/e/s", LINK, "../.."), ("q", LINK, "d/e/s/../..")],
        [("out", LINK, "")],
        [("hard", HARD, "/etc/passwd")],
        [("hard", HARD, "../secret")],
        [("hard", HARD, "missing")],
        [("link", LINK, "file"), ("file", FILE, ""), ("link/x", FILE, "")],
        [("x", FILE, ""), ("x/y", FILE, "")],
    ],
)
def test_what_would_escape_is_refused(
    tmp_path: Path, members: list[tuple[str, bytes, str]]
) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(RemoteProtocolError):
        extract(made(*members), folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inner", "secret"]
    for path in folder.rglob("*"):
        assert path.resolve().is_relative_to(folder) or path.is_symlink()


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    folder, outside = tmp_path / "inner", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    with pytest.raises(RemoteProtocolError):
        extract(made(("out", LINK, "../outside"), ("out/evil", FILE, "")), folder)
    assert list(outside.iterdir()) == []


def test_hard_links_become_copies(tmp_path: Path) -> None:
    extract(made(("a", FILE, ""), ("b", HARD, "a")), tmp_path)
    assert (tmp_path / "b").read_bytes() == b"content"
    assert (tmp_path / "a").stat().st_nlink == 1


def test_hard_link_to_what_is_excluded(tmp_path: Path) -> None:
    """The content was in the archive only once. That is no hostile archive, nor called one."""
    data = made(("out/a.txt", FILE, ""), ("out/b.txt", HARD, "out/a.txt"))
    exclusions = Exclusions(["a.txt"], root=tmp_path, ignore_files=False)
    with (
        Extractor(tmp_path, exclusions=exclusions) as extractor,
        pytest.raises(RemoteProtocolError, match=r"'out/a\.txt', which is excluded; exclude both"),
    ):
        extractor.feed(data)
    both = Exclusions(["*.txt"], root=tmp_path, ignore_files=False)
    with Extractor(tmp_path, exclusions=both) as extractor:
        extractor.feed(data)
        extractor.finish()
    assert not (tmp_path / "out/b.txt").exists()


def test_too_many_entries(tmp_path: Path) -> None:
    data = made(*((f"d/{number}", tarfile.DIRTYPE, "") for number in range(100_000)))
    with pytest.raises(RemoteProtocolError, match=r"more than 1,000 entries"):
        extract(data, tmp_path, max_entries=1000)
    with pytest.raises(RemoteProtocolError, match=r"more than 65,536 entries"):
        extract(made(*((f"{n}", LINK, "x") for n in range(65_537))), tmp_path)


def test_set_id_bits_do_not_arrive(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("x")
        info.mode = 0o7777
        tar.addfile(info)
    extract(out.getvalue(), tmp_path)
    assert (tmp_path / "x").stat().st_mode & 0o7000 == 0


# -- names and files ------------------------------------------------------------------------------


def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path)
    (root / "in").symlink_to("sub")
    assert safe_join(root, "in/x").parent.resolve() == root / "sub"
    assert safe_join(root, "out/x", also=[tmp_path]) == root / "out/x"
    for name in ("out/x", "../x", "/x", "a\0b", "in/../../x"):
        with pytest.raises(LocalProtocolError):
            safe_join(root, name)


def test_pending_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with PendingFile(target) as pending:
        pending.write(b"half")
        assert not target.exists()
    assert list(tmp_path.iterdir()) == []
    with PendingFile(target) as pending:
        pending.write(b"all")
        target.write_text("somebody else's")
        with pytest.raises(FileExistsError):
            pending.complete()
    assert target.read_text() == "somebody else's"
    with PendingFile(target, overwrite=True) as pending:
        pending.write(b"all")
        pending.complete()
    assert target.read_bytes() == b"all"
    assert list(tmp_path.iterdir()) == [target]


def test_trees_merge_and_replace_nothing_unasked(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "d").mkdir(parents=True)
    (target / "d" / "old").write_text("old")
    with pending_folder(tmp_path) as folder:
        (folder / "d").mkdir()
        (folder / "d" / "new").write_text("new")
        (folder / "d" / "old").write_text("new")
        with pytest.raises(FileExistsError):
            place_tree(folder, target, overwrite=False)
        assert sorted(path.name for path in (target / "d").iterdir()) == ["old"]
        place_tree(folder, target, overwrite=True)
    assert [(target / "d" / name).read_text() for name in ("old", "new")] == ["new", "new"]
    assert list(tmp_path.iterdir()) == [target]
