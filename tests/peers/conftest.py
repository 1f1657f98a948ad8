"""Fixtures for tests against other people's programs, unmodified, as their users install them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..cli.conftest import commands as commands
from ..cli.conftest import served as served

INSTALL_SECONDS = 600.0
# 1.1.1 asks for an aiohttp of 2017, which no Python that we support can build or import. 3.8.6 is
# the newest of the old kind, and Python 3.12 needs a newer one.
AIOHTTP = "aiohttp==3.8.6" if sys.version_info < (3, 12) else "aiohttp"


@pytest.fixture(scope="session")
def client_1_1_1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official client 1.1.1 of early 2018; the folder of its commands."""
    folder = tmp_path_factory.mktemp("client-1.1.1")
    return installed(folder, ["backend.ai-client==1.1.1"], ["--upgrade", AIOHTTP])


@pytest.fixture(scope="session")
def official_23(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official client 23.9.10 of 2024; the folder of its commands."""
    # With a newer yarl it does not import.
    folder = tmp_path_factory.mktemp("client-23.9.10")
    return installed(folder, ["backend.ai-client==23.9.10", "yarl<1.10"])


def installed(venv: Path, *requirements: list[str]) -> Path:
    """A client in a venv of its own, from the package index; the folder of its commands.

    Without an index the tests are skipped, unless BACKENDAI_TESTS_REQUIRE_ALL is set.
    """
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    pip = str(venv / "bin" / "pip")
    steps = [[sys.executable, "-m", "venv", str(venv)]]
    steps += [[pip, "install", "-q", *wanted] for wanted in requirements]
    for step in steps:
        try:
            subprocess.run(
                step, env=environ, check=True, capture_output=True, timeout=INSTALL_SECONDS
            )
        except (OSError, subprocess.SubprocessError) as exc:
            said = getattr(exc, "stderr", None) or str(exc).encode()
            reason = f"{requirements[0][0]} cannot be had: {said.decode(errors='replace')[-500:]}"
            if os.environ.get("BACKENDAI_TESTS_REQUIRE_ALL"):
                pytest.fail(reason)
            pytest.skip(reason)
    return venv / "bin"
