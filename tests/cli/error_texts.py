"""The table of what the commands say when they fail: ``error_texts.txt``, read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["ROWS", "Row"]

_TABLE = Path(__file__).with_suffix(".txt")
_CODE = re.compile(r"\(exit code (\d+)\)")


class Row(NamedTuple):
    """A command that fails."""

    situation: str
    """A key of `situations.SITUATIONS`."""
    command: str
    """The command line behind ``backend.ai``, for a shell."""
    text: str
    """All of standard error, with placeholders, without the last line's end."""
    code: int
    """The exit code."""


def _read(lines: Iterator[str]) -> Iterator[Row]:
    situation = command = ""
    text: list[str] = []
    for line in lines:
        if line.startswith("[") and line.endswith("]"):
            situation = line[1:-1]
        elif line.startswith("$ backend.ai "):
            command = line.removeprefix("$ backend.ai ")
            text = []
        elif code := _CODE.fullmatch(line):
            yield Row(situation, command, "\n".join(text), int(code[1]))
        elif line and not line.startswith("# "):
            text.append(line)


ROWS = tuple(_read(iter(_TABLE.read_text(encoding="utf-8").splitlines())))
