"""What the commands say when they fail: the whole of standard error, and the exit code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio

from .commands import Commands
from .error_texts import ROWS, Row
from .situations import SITUATIONS

_RANDOM = (
    (re.compile(r"127\.0\.0\.1:(?!(?:0|1|8081)\b)\d+|localhost:(?!3000)\d+"), "{host}"),
    (re.compile(r"(?<= port )\d+(?=: Address already in use)"), "{port}"),
    (re.compile(r"\b\d+(?= ms$)", re.M), "{n}"),
    (re.compile(r"(?<=installed here: )[a-z0-9, ]+"), "{runtimes}"),
    (re.compile(r"(?<=TLS failed \()[\w ]+"), "{reason}"),
    # On a machine without a name server.
    (
        re.compile("its name could not be looked up; .*"),
        "there is no host of this name; check the name in BACKEND_ENDPOINT, and that DNS works "
        "here",
    ),
)
"""What differs from run to run and from machine to machine, and the placeholder for it."""


def normalized(text: str, commands: Commands) -> str:
    """A text with placeholders."""
    for folder in (commands.home, commands.tmp):
        text = text.replace(str(folder), f"{{{folder.name}}}")
    for pattern, placeholder in _RANDOM:
        text = pattern.sub(placeholder, text)
    return text


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.situation}: {row.command}"[:70])
async def test_error_text(row: Row, commands: Commands, gateway_parent: Path) -> None:
    (commands.work / "empty").touch()
    async with SITUATIONS[row.situation](commands.work) as variables:
        script = f"backend.ai {row.command}"
        result = await trio.to_thread.run_sync(commands.shell, script, variables)
    assert normalized(result.stderr, commands) == f"{row.text}\n"
    assert (result.code, result.stdout) == (row.code, b"")


def test_every_situation_is_in_the_table() -> None:
    assert {row.situation for row in ROWS} == set(SITUATIONS)


def test_a_request_is_shown_with_v_only() -> None:
    for row in ROWS:
        shown = re.search(r"\b(GET|POST|DELETE|PATCH|PUT) /", row.text) is not None
        assert shown == row.command.startswith("-v "), row
