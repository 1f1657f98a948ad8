"""Types of parameters. An empty one is refused: it is an unset variable in a script.

The empty path would mean the current folder, and the empty name no particular kernel.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, Final

import click

__all__ = [
    "NAME",
    "REMOTE_FOLDER",
    "REMOTE_PATH",
    "STREAM",
    "LocalPath",
    "Stream",
    "local_path",
]


class Stream(Enum):
    """What stands for standard input or output where a path on this machine is given."""

    STANDARD = "-"

    def __str__(self) -> str:
        return self.value


STREAM: Final = Stream.STANDARD
"""The path ``-``. A file of this name is ``./-``, and both are the same `Path`."""


def local_path(text: str) -> Path | Stream:
    """A path on this machine, or `STREAM`."""
    return STREAM if text == str(STREAM) else Path(text)


class _NonEmpty(click.types.StringParamType):
    """A text with at least one character."""

    def __init__(self, name: str, advice: str = "") -> None:
        self.name = name
        self._advice = advice

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value == "":
            self.fail(f"the {self.name} is empty{self._advice}", param, ctx)
        return str(value)


class _RemoteFolder(_NonEmpty):
    """A folder to upload to, below the work folder of a kernel or in a virtual folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from backendai_trio import LocalProtocolError  # slow to import, and seldom needed
        from backendai_trio.files import check_remote_folder

        path = super().convert(value, param, ctx)
        try:
            check_remote_folder(path)
        except LocalProtocolError as exc:
            self.fail(str(exc), param, ctx)
        return path


class LocalPath(click.Path):
    """A path on this machine.

    Args:
        or_stream: whether ``-`` is `STREAM`, and not the file of this name.
        options: those of `click.Path`.
    """

    def __init__(self, *, or_stream: bool = False, **options: Any) -> None:
        super().__init__(path_type=Path, **options)
        self._or_stream = or_stream

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty; the current folder is '.'", param, ctx)
        if self._or_stream and value == str(STREAM):
            return STREAM
        return super().convert(value, param, ctx)


NAME = _NonEmpty("name")
"""A kernel's token or id, or a virtual folder's name."""
REMOTE_PATH = _NonEmpty("path", "; the whole folder is '.'")
"""A path in a kernel or a virtual folder."""
REMOTE_FOLDER = _RemoteFolder("path", "; the whole folder is '.'")
"""A folder to upload to, or the file that standard input becomes."""
