"""Uploads whose file has lost its end, with a disk that did not keep what it said that it had."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from backendai_trio.gateway.storage.tus import TusUploads
from backendai_trio.gateway.storage.vfolders import VFolders
from backendai_trio.wire.storage_proxy import TusState
from backendai_trio.wire.vfolders import CreateVFolder


@pytest.mark.parametrize("stored", [None, b"", b"ab", b"abc", b"abcd"])
def test_the_client_sends_it_again(tmp_path: Path, stored: bytes | None) -> None:
    """From where the file ends: else the gap would be full of zeros."""
    folders = VFolders(tmp_path / "vfolders", lasting=True, max_folders=5, max_bytes=0)
    folder = folders.create(CreateVFolder(name="data"), "AKIAUSER")
    token = folders.index.uploads.begin(folder.folder_id, "file", 5)
    upload = folders.index.uploads.find(token)
    assert upload is not None
    folders.index.uploads.advance(upload, 3)
    staged = folders.disk.staging_of(folder.folder_id) / hashlib.sha256(token.encode()).hexdigest()
    if stored is not None:
        staged.write_bytes(stored)
    assert TusUploads(folders).state(token) == TusState(min(len(stored or b""), 3), 5)
    folders.close()
