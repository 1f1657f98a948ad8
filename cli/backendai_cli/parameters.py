"""Types of parameters. An empty one is refused: it is an unset variable in a script.

The empty path would mean the current folder, and the empty name no particular kernel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

__all__ = ["NAME", "REMOTE_PATH", "LocalPath"]


class _NonEmpty(click.types.StringParamType):
    """A text with at least one character."""

    def __init__(self, name: str, advice: str = "") -> None:
        self.name = name
        self._advice = advice

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value == "":
            self.fail(f"the {self.name} is empty{self._advice}", param, ctx)
        return str(value)


class LocalPath(click.Path):
    """A path on this machine."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty; the current folder is '.'", param, ctx)
        return super().convert(value, param, ctx)


NAME = _NonEmpty("name")
"""A kernel's token or id, or a virtual folder's name."""
REMOTE_PATH = _NonEmpty("path", "; the whole folder is '.'")
"""A path in a kernel or a virtual folder."""
