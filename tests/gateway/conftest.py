"""Fixtures for tests that run real programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest


class Conversation:
    """A sink and an ask: notes what was said, in order, and answers from a list."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.said: list[tuple[str, bytes]] = []
        self.questions: list[bool] = []

    async def sink(self, kind: Literal["stdout", "stderr"], data: bytes) -> None:
        if self.said and self.said[-1][0] == kind:
            data = self.said.pop()[1] + data
        self.said.append((kind, data))

    async def ask(self, is_password: bool) -> bytes | None:
        self.questions.append(is_password)
        self.said.append(("asked", b""))
        return self.answers.pop(0)

    def text(self, kind: str) -> bytes:
        return b"".join(data for said, data in self.said if said == kind)


@pytest.fixture
def conversation() -> Callable[..., Conversation]:
    """Makes a `Conversation` with the given answers."""
    return Conversation


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty folder for one kernel."""
    folder = tmp_path / "kernel"
    folder.mkdir(mode=0o700)
    return folder
