"""Secrets in files and on standard input: on a command line, other users could see them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from backendai_trio import ConfigError

from .errors import read_failure
from .keyboard import ask_secret
from .parameters import STREAM, LocalPath, Stream

__all__ = ["SECRET_FILE", "read_secret", "secret_lines"]

SECRET_FILE = LocalPath(dir_okay=False, or_stream=True)
"""Type of an option for a file with secrets; ``-`` is standard input."""


def read_secret(file: Path | Stream, option: str, label: str) -> str:
    """The secret in the first line; at a terminal, standard input is asked for it.

    Args:
        file: the file.
        option: that names it.
        label: what is asked for, e.g. ``Password``.

    Raises:
        ConfigError: it cannot be read, or the line is empty.
        click.Abort: the input ended at the question.
    """
    if file is STREAM and sys.stdin.isatty():
        return ask_secret(label)
    secret = next(secret_lines(file, option), "")
    if not secret:
        raise ConfigError(option, f"the first line of {_name(file)} is empty")
    return secret


def secret_lines(file: Path | Stream, option: str) -> Iterator[str]:
    """The lines, without their ends. More of standard input is waited for only as they are taken.

    Args:
        file: the file.
        option: that names it.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        if isinstance(file, Path):
            yield from file.read_text(encoding="utf-8").split("\n")
        else:
            for line in sys.stdin.buffer:
                yield line.decode("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        reason = read_failure(exc)
        raise ConfigError(option, f"{_name(file)} cannot be read: {reason}") from None


def _name(file: Path | Stream) -> str:
    """What a message calls it."""
    if file is STREAM:
        return "standard input"
    return "./-" if file == Path(str(STREAM)) else str(file)
