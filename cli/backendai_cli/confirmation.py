"""Questions before something is destroyed for good.

Such commands ask at a terminal, and are refused where there is none, unless ``--yes`` is given.
Kernels, files and dotfiles that the command line names one by one are removed unasked, as `rm`
does it; so is what can be restored from a trash or made again.
"""

from __future__ import annotations

import sys

import click

from .console import printable

__all__ = ["check_can_ask", "confirm", "yes_option"]

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def check_can_ask(what: str, *, yes: bool) -> None:
    """Refuse to go on where `confirm` could not ask: before the requests that the question needs.

    Args:
        what: is about to happen, as a sentence with its full stop.
        yes: whether the user has confirmed it already.

    Raises:
        click.UsageError: there is no terminal to ask at.
    """
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"{what} There is no terminal to ask at: confirm it with --yes")


class Declined(click.Abort):
    """The answer to a question was no."""


def confirm(what: str, *, yes: bool) -> None:
    """Ask on standard error whether something is to be done.

    Args:
        what: is about to happen, as a sentence with its full stop.
        yes: whether the user has confirmed it already.

    Raises:
        click.UsageError: there is no terminal to ask at.
        Declined: the user has not confirmed it.
        click.Abort: the input ended, or Ctrl-C was pressed.
    """
    check_can_ask(what, yes=yes)
    if not yes and not click.confirm(printable(f"{what} Go on?"), err=True):
        raise Declined
