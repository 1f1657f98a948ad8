"""Fixtures for tests that use the commands as a person does. Nothing here runs in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from .commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    """The commands. Whatever the test did with them, no kernel may be left at its end."""
    made = Commands(tmp_path)
    yield made
    assert made.nothing_is_left(), (made.kernel_processes(), made.kernel_files())


@pytest.fixture
def served(commands: Commands) -> Iterator[Mapping[str, str]]:
    """A gateway that `backend.ai serve` keeps; the variables that lead to it."""
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, env=secret) as gateway:
        yield variables_of(gateway)
