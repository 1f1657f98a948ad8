"""Fixtures for tests that run real programs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from backendai_trio.errors import GatewayError
from backendai_trio.gateway.processes.isolation import PROCESS_GROUP, Isolation, try_isolation

from ..requirements import lacking


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


@pytest.fixture
def bubblewrap() -> Isolation:
    """The isolation by bubblewrap; without it, the test is skipped (`lacking`).

    Where it is installed, and the machine lets nobody make namespaces, the test is skipped in any
    case: there is nothing to install then.
    """
    try:
        with try_isolation("bubblewrap") as trial:
            return trial.result()
    except GatewayError as exc:
        if shutil.which("bwrap") is None:
            raise lacking(str(exc)) from exc
        pytest.skip(str(exc))


@pytest.fixture(params=["process-group", "bubblewrap"])
def isolation(request: pytest.FixtureRequest) -> Isolation:
    """Each isolation in turn."""
    if request.param == "process-group":
        return PROCESS_GROUP
    found: Isolation = request.getfixturevalue("bubblewrap")
    return found
