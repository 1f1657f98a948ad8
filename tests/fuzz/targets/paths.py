"""Names of files, in messages of either side, in a folder with hostile links."""

from __future__ import annotations

import os
from pathlib import Path

from backendai_trio.errors import LocalProtocolError, RemoteProtocolError
from backendai_trio.files.paths import safe_join
from backendai_trio.gateway.refusals import Refused
from backendai_trio.gateway.storage import vfolder_files
from backendai_trio.gateway.storage.workspace import Workspace
from backendai_trio.wire.multipart import check_name, encode_part_head, parse_name
from backendai_trio.wire.vfolder_files import MakeDirectory, MoveFile, RemoveFiles

from ..choices import Choices
from .archives import BOUNDARY, check_tree, guarded

_LINKS = {
    "up": "..",
    "out": "../../outside",
    "deep/out": "../../../outside",
    "loop": "loop",
    "chain": "deep/out",
    "ok": "deep",
    "dangling": "nothing",
    "secret": "../../outside/secret",
}


def paths(data: bytes) -> None:
    """No name leads out of its folder, whoever reads, writes, moves or removes it."""
    choices = Choices(data)
    kind = choices.below(10)
    raw, _, other = choices.rest().partition(b"\n")
    name, target = raw.decode("utf-8", "surrogateescape"), other.decode("utf-8", "surrogateescape")
    _check_form(raw, name)
    with guarded() as base:
        root, staging = base / "tree", base / "staging"
        for folder in (root, staging, root / "deep", root / "deep" / "er"):
            folder.mkdir()
        (root / "file").write_bytes(b"mine")
        for link, to in _LINKS.items():
            (root / link).symlink_to(to)
        try:
            _use(kind, Workspace(root, staging), name, target)
        except (LocalProtocolError, RemoteProtocolError, Refused):
            pass
        for link in _LINKS:
            (root / link).unlink(missing_ok=True)
        check_tree(root)
        assert sorted(os.listdir(base)) == ["staging", "tree"]


def _check_form(raw: bytes, name: str) -> None:
    """A name that is allowed stands in a form as it is, and in no other way."""
    try:
        checked = check_name(name)
    except LocalProtocolError:
        try:
            parse_name(raw)
        except RemoteProtocolError:
            return
        raise AssertionError(f"{raw!r} is refused when sent and taken when received") from None
    assert check_name(checked) == checked
    assert not checked.startswith("/")
    assert ".." not in checked.split("/")
    assert encode_part_head(checked, BOUNDARY).count(b"\r\n") == 4
    assert parse_name(raw) == checked


def _use(kind: int, workspace: Workspace, name: str, target: str) -> None:
    root = workspace.root
    match kind:
        case 0:
            _check_parent(safe_join(root, name), root)
        case 1:
            path = workspace.locate(name)
            assert path == root or _below(path.parent, root), path
        case 2:
            assert _below(workspace.existing(name), root)
        case 3:
            workspace.listing(name)
            for digest in workspace.digests(name):
                assert not digest.name.startswith(("/", "..")), digest
        case 4:
            workspace.remove([name, target] if target else [name], recursive=True)
        case 5:
            workspace.mkdir(name)
        case 6:
            path = vfolder_files.inside(root, name)
            assert path == root or _below(path.parent, root), path
        case 7:
            vfolder_files.make_directory(root, MakeDirectory(name, parents=True))
        case 8:
            vfolder_files.move(root, MoveFile(name, target))
        case _:
            content = b"".join(workspace.archive([name]))
            assert b"not yours" not in content
            vfolder_files.list_entries(root, name)
            vfolder_files.remove(root, RemoveFiles((name,), recursive=True))


def _check_parent(path: Path, root: Path) -> None:
    assert _below(path.parent, root), path


def _below(path: Path, root: Path) -> bool:
    real, top = os.path.realpath(path), os.path.realpath(root)
    return real == top or real.startswith(f"{top}/")
