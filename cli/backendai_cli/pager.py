"""Texts that may be longer than the terminal is high."""

from __future__ import annotations

import shutil
import sys

import click

__all__ = ["show_text"]


def show_text(text: str) -> None:
    """Print a text; one that is too long for the terminal is shown in a pager.

    The pager is the program that the variable PAGER names, or `less`. There is none where standard
    input or output is no terminal, where TERM is ``dumb`` and no PAGER is set, and where the
    program is missing.

    Args:
        text: the text, without its last newline.
    """
    columns, rows = shutil.get_terminal_size()
    shown = sum(max(1, -(-len(line) // columns)) for line in text.split("\n"))  # wide ones wrap
    fits = shown < rows  # a row is left for the prompt
    if fits or not (sys.stdin.isatty() and sys.stdout.isatty()):
        click.echo(text)
        return
    try:
        click.echo_via_pager(text)
    except ValueError:  # PAGER has a quotation mark without its partner
        click.echo(text)
