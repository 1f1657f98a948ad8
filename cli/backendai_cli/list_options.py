"""Options of commands that list what a server has: columns, pages, filter, order, JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import click

from .tables import show_rows, title_of

__all__ = ["Columns", "Page", "column_options", "page_options"]

R = TypeVar("R")


@dataclass(frozen=True)
class Columns:
    """The columns to show."""

    names: Sequence[str]
    """Their names; empty for the usual ones."""
    as_json: bool

    def check(self, known: Sequence[str]) -> None:
        """Refuse a name that there is not.

        Args:
            known: the names of all columns.

        Raises:
            click.UsageError: there is no such column.
        """
        for name in self.names:
            if name not in known:
                raise click.UsageError(
                    f"--fields: there is no column {name!r}; there are {', '.join(known)}"
                )

    def show(
        self, rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str] | None, *, empty: str
    ) -> None:
        """Print rows on standard output: by default all of their columns as JSON, and those with a
        title in a table.

        Args:
            rows: with the same keys.
            titles: titles of columns; None for a table of all that have a value in a row.
            empty: the line to print instead of a table without rows.
        """
        if self.names:
            rows = [{name: row[name] for name in self.names} for row in rows]
            titles = {name: (titles or {}).get(name, title_of(name)) for name in self.names}
        show_rows(rows, titles, as_json=self.as_json, empty=empty)


@dataclass(frozen=True, kw_only=True)
class Page:
    """The rows to ask for."""

    limit: int | None
    offset: int
    filter: str
    order: str

    def arguments(self) -> dict[str, Any]:
        """Arguments of the library's functions for lists."""
        return {
            "limit": self.limit,
            "offset": self.offset,
            "filter": self.filter,
            "order": self.order,
        }


def _split(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> list[str]:
    names = [name.strip() for text in texts for name in text.split(",")]
    if "" in names:
        raise click.BadParameter("write names with commas between, e.g. -f name,status")
    return names


_COLUMN_OPTIONS = (
    click.option(
        "-f", "--fields", "--format", "fields", multiple=True, metavar="NAME,...", callback=_split,
        help="Columns to show, in this order.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print a JSON array."),
)  # fmt: skip
_PAGE_OPTIONS = (
    click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Rows at most."),
    click.option(
        "--offset", type=click.IntRange(min=0), default=0, metavar="N",
        help="Rows to leave out at the beginning.",
    ),
    click.option(
        "--filter", default="", metavar="TEXT",
        help="Condition that the server applies to its columns, e.g. 'name contains \"lab\"'; "
        "managers from 20.09.21 on.",
    ),
    click.option(
        "--order", default="", metavar="NAME,...",
        help="Columns that the server sorts by, e.g. -created_at,+name; managers from 19.03 on.",
    ),
)  # fmt: skip


def column_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``--fields`` and ``--json``, which a command gets as its argument `columns`."""

    @wraps(command)
    def collect(*args: Any, fields: list[str], as_json: bool, **parameters: Any) -> R:
        return command(*args, **parameters, columns=Columns(fields, as_json))

    return _with(collect, _COLUMN_OPTIONS)


def page_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add ``--limit``, ``--offset``, ``--filter`` and ``--order``: the argument `page`."""

    @wraps(command)
    def collect(
        *args: Any, limit: int | None, offset: int, filter: str, order: str, **parameters: Any
    ) -> R:
        page = Page(limit=limit, offset=offset, filter=filter, order=order)
        return command(*args, **parameters, page=page)

    return _with(collect, _PAGE_OPTIONS)


def _with(
    command: Callable[..., R], options: Sequence[Callable[[Callable[..., R]], Callable[..., R]]]
) -> Callable[..., R]:
    for option in reversed(options):
        command = option(command)
    return command
