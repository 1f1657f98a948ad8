"""Fixtures for tests against other people's programs, unmodified, as their users install them."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ..cli.conftest import commands as commands
from ..cli.conftest import served as served
from ..managers.lab.pythons import find_python
from ..requirements import lacking

INSTALL_SECONDS = 600.0
# 1.1.1 asks for an aiohttp of 2017, which no Python that we support can build or import. 3.8.6 is
# the newest of the old kind, and Python 3.12 needs a newer one.
AIOHTTP = "aiohttp==3.8.6" if sys.version_info < (3, 12) else "aiohttp"


# Clients up to 23.9.10 reach into yarl's insides, which 1.10 moved.
YARL = "yarl==1.9.11"


@pytest.fixture(scope="session")
def client_1_1_1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official client 1.1.1 of early 2018, in a venv of its own; the folder of its commands."""
    venv = _shared(tmp_path_factory) / "client-1.1.1"
    return _install(venv, sys.executable, ["backend.ai-client==1.1.1"], ["--upgrade", AIOHTTP])


@pytest.fixture(scope="session")
def official_23(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official client 23.9.10 of 2024; the folder of its commands. It needs Python 3.11."""
    return install_client(tmp_path_factory, "23.9.10", "3.11", (YARL,))


def install_client(
    tmp_path_factory: pytest.TempPathFactory, version: str, python: str, pins: Sequence[str]
) -> Path:
    """An official client in a venv of its own; the folder of its commands.

    Args:
        tmp_path_factory: of the test run, whose processes share the venv.
        version: the client's.
        python: version of the Python that it needs.
        pins: requirements that replace what its own have brought.
    """
    found = find_python(python)
    if found is None:
        raise lacking(f"client {version} needs Python {python}, which was not found")
    venv = _shared(tmp_path_factory) / f"client-{version}"
    steps = [[f"backend.ai-client=={version}"]]
    if pins:
        steps.append(["--upgrade", *pins])
    return _install(venv, str(found), *steps)


def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the processes of one run of the tests have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def _install(venv: Path, python: str, *packages: list[str]) -> Path:
    """Install packages from the index into a new venv, a list after another.

    Of the processes of one run, the first one does. Without an index the tests are skipped, unless
    BACKENDAI_TESTS_REQUIRE_ALL is set.
    """
    with venv.with_name(venv.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = venv / "complete"
        if not complete.exists():
            _install_all(venv, python, packages)
            complete.touch()
    return venv / "bin"


def _install_all(venv: Path, python: str, packages: Sequence[list[str]]) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    steps = [[python, "-m", "venv", str(venv)]]
    steps += [[str(venv / "bin" / "pip"), "install", "-q", *items] for items in packages]
    for step in steps:
        try:
            subprocess.run(
                step, env=environ, check=True, capture_output=True, timeout=INSTALL_SECONDS
            )
        except (OSError, subprocess.SubprocessError) as exc:
            said = getattr(exc, "stderr", None) or str(exc).encode()
            raise lacking(
                f"{packages[0][0]} was not installed: {said.decode(errors='replace')[-500:]}"
            ) from exc
