"""Tables that fit the window, or JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

import click

from .console import printable, rich_console

if TYPE_CHECKING:
    from backendai_trio.kernels import Statistics

__all__ = ["amount", "show_record", "show_rows", "statistics_lines", "title_of"]

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
_MEMORY = frozenset({"mem", "cuda.mem"})
_PIPE_WIDTH = 10_000
"""Width of a table in a pipe, where each row is one line."""


def show_rows(
    rows: Sequence[Mapping[str, Any]],
    titles: Mapping[str, str] | None = None,
    *,
    as_json: bool,
    empty: str,
    to_stderr: bool = False,
) -> None:
    """Print rows.

    Args:
        rows: mappings with the same keys.
        titles: titles of the columns to show, by key; by default all keys that have a value in a
            row.
        as_json: print a JSON array of the rows, with all keys.
        empty: the line to print instead of a table without rows.
        to_stderr: print on standard error: the rows belong to a question.
    """
    if as_json:
        click.echo(json.dumps([dict(row) for row in rows]), err=to_stderr)
        return
    if not rows:
        click.echo(empty, err=to_stderr)
        return
    if titles is None:
        has = [key for key in rows[0] if any(row[key] is not None for row in rows)]
        titles = {key: title_of(key) for key in has}
    cells = [[_cell(row.get(key)) for key in titles] for row in rows]
    _print(cells, list(titles.values()), sys.stderr if to_stderr else sys.stdout)


def show_record(values: Mapping[str, Any]) -> None:
    """Print a record on standard output, a line for each value."""
    titles = [title_of(key) for key in values]
    width = max(map(len, titles), default=0)
    for title, value in zip(titles, values.values(), strict=True):
        click.echo(f"{title:<{width}}  {_cell(value)}")


def title_of(key: str) -> str:
    """The title of a column or value."""
    return key.replace("_", " ").capitalize()


def amount(slot: str, value: object) -> str:
    """An amount of a resource, for a person.

    Args:
        slot: of which resource; memory is counted in bytes.
        value: as the server sent it.
    """
    if value == "Infinity":
        return "unlimited"
    if slot in _MEMORY and str(value).isdecimal():
        size = int(str(value))
        return _readable(size) if size >= 1024 else str(size)
    return _cell(value)


def statistics_lines(statistics: Statistics | None) -> list[str]:
    """The resource usage of a kernel, as lines of text."""
    if statistics is None:
        return ["Statistics are not available."]
    lines = []
    for item in fields(statistics):
        value = getattr(statistics, item.name)
        name, text = item.name, f"{value:,}"
        if name == "cpu_used":
            name = "cpu_used_msec"
        elif value >= 1024:
            text = _readable(value)
        lines.append(f"{name:<20} {text:>12}")
    return lines


def _print(cells: list[list[str]], titles: list[str], stream: TextIO) -> None:
    """Print a table; in a window that is too narrow, a line for each value."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = rich_console(stream)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    # As Text: square brackets in the data of a server are not markup.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    if console.measure(table, options=console.options.update(width=_PIPE_WIDTH)).maximum <= (
        console.width
    ):
        console.print(table)
        return
    for row in cells:
        record = Table(box=None, show_header=False, pad_edge=False)
        record.add_column(overflow="fold", style="bold")
        record.add_column(overflow="fold")
        for title, value in zip(titles, row, strict=True):
            if value:
                record.add_row(title, Text(value))
        if row is not cells[0]:
            console.print()
        console.print(record)


def _cell(value: object) -> str:
    """A value as text for a person, without control characters."""
    if isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, list):
        text = ", ".join(map(_cell, value))
    elif isinstance(value, dict):
        text = ", ".join(f"{name}: {amount(name, item)}" for name, item in value.items())
    else:
        text = "" if value is None else str(value)
        if _TIME.match(text):
            text = _local_time(text)
    return printable(text)


def _local_time(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):
        return text


def _readable(size: float) -> str:
    units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        del units[0]
    return f"{size:.1f} {units[0]}"
