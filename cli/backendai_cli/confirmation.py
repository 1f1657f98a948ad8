"""Questions before something is destroyed."""

from __future__ import annotations

import sys

import click

__all__ = ["confirm", "yes_option"]

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def confirm(what: str, *, yes: bool) -> None:
    """Ask whether something is to be done.

    Args:
        what: is about to happen, as a sentence with its full stop.
        yes: whether the user has said so already.

    Raises:
        click.UsageError: there is no terminal to ask at.
        click.Abort: the user does not want it.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"{what} There is no terminal to ask at: confirm it with --yes")
    click.confirm(f"{what} Go on?", err=True, abort=True)
