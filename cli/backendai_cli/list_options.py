"""Options of commands that list what a server has: columns, pages, statuses, filter, JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import wraps
from typing import Any, TypeVar

import click

from backendai_trio.admin import LIVE

from .console import Status
from .tables import show_rows, title_of

__all__ = [
    "ALL",
    "Columns",
    "Page",
    "check_statuses",
    "column_options",
    "page_options",
    "status_option",
]

R = TypeVar("R")

ALL = "ALL"
"""Sessions of any status."""
_STATUSES = (
    *("PENDING", "SCHEDULED", "PREPARING", "BUILDING", "PULLING", "PREPARED", "CREATING"),
    *("RUNNING", "RUNNING_DEGRADED", "RESTARTING", "RESIZING", "SUSPENDED", "DEPRIORITIZING"),
    *("RESERVED", "PREEMPTED", "RESCHEDULING", "TERMINATING", "TERMINATED", "ERROR", "CANCELLED"),
)
"""Statuses of sessions, in managers of 2018 to 2026. No manager has all of them."""


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


def check_statuses(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> str | None:
    """Check the value of an option for statuses, in capitals or not. The server may know newer ones
    than those of this list.

    Returns:
        The value in capitals; None where the option is not given.

    Raises:
        click.UsageError: a status is misspelled, or `ALL` or `LIVE` is one of several.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.upper().split(",")]
    for name in names:
        if name in (ALL, LIVE):
            if len(names) > 1:
                raise click.UsageError(f"--status: {name} goes with no other status")
            continue
        if name in _STATUSES:
            continue
        close = get_close_matches(name, (*_STATUSES, LIVE, ALL), n=1, cutoff=0.8)
        if close:
            raise click.UsageError(
                f"--status: there is no status {name!r}; did you mean {close[0]!r}?"
            )
        if not name:
            raise click.UsageError("--status: the name of a status is empty")
        Status().warn(f"{name!r} is not a known status; asking the server anyway.")
    return ",".join(names)


status_option = click.option(
    "-s",
    "--status",
    default=LIVE,
    show_default=True,
    metavar="NAME",
    callback=check_statuses,
    help=f"{', '.join(_STATUSES)}; {LIVE} for all but those that have ended, or {ALL}. "
    "Managers from 19.09 on take several, with commas.",
)
"""``--status`` of a list of sessions."""


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
