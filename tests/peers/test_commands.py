"""What docs/coverage.md says of the official client 26.9.6 is what that client has."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .conftest import install_client

COVERAGE = Path(__file__).resolve().parent.parent / "coverage"


def test_commands_of_26_9_6(tmp_path_factory: pytest.TempPathFactory) -> None:
    scripts = install_client(tmp_path_factory, "26.9.6", "3.13", ())
    argv = [str(scripts / "python"), "-W", "ignore", str(COVERAGE / "click_tree.py")]
    printed = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120)
    assert printed.stdout == (COVERAGE / "official-26.9.6.txt").read_text()
