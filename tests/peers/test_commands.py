"""What docs/coverage.md says of the official clients is what those clients have."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .conftest import install_client

COVERAGE = Path(__file__).resolve().parent.parent / "coverage"


def printed(scripts: Path, program: str) -> str:
    argv = [str(scripts / "python"), "-W", "ignore", str(COVERAGE / program)]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120).stdout


def test_commands_of_26_9_6(tmp_path_factory: pytest.TempPathFactory) -> None:
    scripts = install_client(tmp_path_factory, "26.9.6", "3.13", ())
    listed = (COVERAGE / "official-26.9.6.txt").read_text()
    assert printed(scripts, "click_tree.py") == listed


def test_commands_of_1_1_1(client_1_1_1: Path) -> None:
    listed = (COVERAGE / "official-1.1.1.txt").read_text()
    assert printed(client_1_1_1, "argparse_tree.py") == listed
