"""Wrong usage in plain words. Click has its own for what it checks itself."""

from __future__ import annotations

import re

import click

__all__ = ["no_such_option", "usage_text"]

_REWORDED = (
    (r"^(Invalid value for|Missing option) '-.' / ", r"\1 "),  # the long name is plainer
    (r"^Invalid value for '([^']*)'(?: / '[^']*')*: ", r"\1: "),
    (r"^Missing (?:argument|option) '([^']*)'(?: / '[^']*')*", r"\1 is missing"),
    (r"^\{[^}]*\}: ", ""),  # an argument whose values the text names as well
    (r"^\[?([A-Z_]+)\]?\.\.\.", r"\1"),  # an argument that may be repeated
    (r"Option '([^']*)' requires an argument", r"\1 needs a value"),
    (r"Option '([^']*)' does not take a value", r"\1 takes no value"),
    (r"Got unexpected extra arguments? \((.*)\)", r"unexpected argument: \1"),
    (r"is not a valid integer(?: range)?", "is not a whole number"),
    (r"is not a valid float(?: range)?", "is not a number"),
    (r"(\S+) is not in the range x>=(\S+)", r"\1 is less than \2"),
    (r"(\S+) is not in the range x>(\S+)", r"\1 is not more than \2"),
    (r"(\S+) is not in the range x<=(\S+)", r"\1 is more than \2"),
    (r"(\S+) is not in the range x<([^=\s]\S*)", r"\1 is not less than \2"),
    (r"(\S+) is not in the range (\S+)<=x<=(\S+)", r"\1 is not between \2 and \3"),
    (r"Directory '(.*)' is a file", r"'\1' is a file, not a folder"),
    (r"File '(.*)' is a directory", r"'\1' is a folder, not a file"),
    (r"Directory '(.*)' does not exist", r"there is no folder '\1'"),
    (r"Path '(.*)' does not exist", r"there is no file or folder '\1'"),
    (r"File '(.*)' does not exist", r"there is no file '\1'"),
)
"""Patterns of Click's texts, and what stands in their place."""


def usage_text(exc: click.UsageError) -> str:
    """What is wrong, and where help is.

    Args:
        exc: the error.

    Returns:
        A text without a full stop at its end.
    """
    if isinstance(exc, click.NoSuchOption):
        text = no_such_option(exc)
    else:
        text = exc.format_message()
        if isinstance(exc, click.BadParameter | click.BadOptionUsage) or text.startswith("Got "):
            for pattern, replacement in _REWORDED:
                text = re.sub(pattern, replacement, text)
    command = exc.ctx.command_path if exc.ctx is not None else ""
    return f"{text.rstrip('.')} (see '{command} --help')" if command else text.rstrip(".")


def no_such_option(exc: click.NoSuchOption) -> str:
    """The text of the error, with options that the user may have meant.

    Args:
        exc: the error.
    """
    text = f"there is no option {exc.option_name!r}"
    if exc.possibilities:
        return f"{text}; did you mean {' or '.join(exc.possibilities)}?"
    return text
