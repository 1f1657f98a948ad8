"""Rows for people to read."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

__all__ = ["print_table"]


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under titles, on standard output."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        # Text, not markup: what a server sends is shown as it is.
        table.add_row(*map(Text, row))
    # In a pipe there is no window to fit: every row stays one line.
    Console(width=None if sys.stdout.isatty() else 200).print(table)
