"""Fixtures of the tests of virtual folders: a gateway's data folder, and a user's files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder of a gateway."""
    return tmp_path / "data"


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A folder with a user's files."""
    folder = tmp_path / "local"
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "a.txt").write_text("eins\n")
    (folder / "none").write_bytes(b"")
    (folder / "sub" / "zwei ü.bin").write_bytes(random.Random(0).randbytes(3_000_000))
    return folder
