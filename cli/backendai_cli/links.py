"""Symbolic links in the folders that commands copy: the option --links, and what was left out."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike, fspath
from typing import Any, TypeVar

import click

from .console import Status, count, printable

__all__ = ["LeftOut", "links_option", "upload_links_option"]

_SHOWN = 5
F = TypeVar("F", bound=Callable[..., Any])


def links_option(*choices: str, help: str) -> Callable[[F], F]:
    """The option ``--links``.

    Args:
        choices: what may become of links; the first one is the default.
        help: its help text.
    """
    return click.option(
        "--links", type=click.Choice(choices), default=choices[0], show_default=True, help=help
    )


upload_links_option = links_option(
    "follow",
    "keep",
    "skip",
    help="Copy what symbolic links in folders lead to, copy them as links, or leave them out.",
)


class LeftOut:
    """Counts what is not copied. Call it with each path; `report` shows a summary."""

    def __init__(self) -> None:
        self._count = 0
        self._first: list[str] = []

    def __call__(self, path: str | PathLike[str]) -> None:
        self._count += 1
        if len(self._first) < _SHOWN:  # a sync that watches looks at its links for ever
            self._first.append(fspath(path))

    def report(self, status: Status) -> None:
        """Show how much was left out, and the first few names."""
        if not self._count:
            return
        names = ", ".join(map(printable, self._first))
        more = ", ..." if self._count > _SHOWN else ""
        status.info(f"Left out {count(self._count, 'link')}: {names}{more}")
