"""The program of a run on a command line: its files, its code, and its own arguments."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..languages import is_language, language_of_file
from ..usage_errors import no_such_option

if TYPE_CHECKING:
    from backendai_trio import BatchOptions

__all__ = [
    "CommandLine",
    "append_arguments",
    "explain_missing_files",
    "explain_unknown_option",
    "read_code",
    "split_command_line",
]

_SHEBANG_BYTES = 512
_SHORTCUTS = ("lcc", "lpython")


@dataclass(frozen=True)
class CommandLine:
    """A command line, and what in it belongs to the program.

    Attributes:
        own: the arguments of this command.
        program: the arguments of the program.
        by_shebang: whether the last word of `own` is a script whose first line has called this
            command.
    """

    own: list[str]
    program: list[str]
    by_shebang: bool = False


def split_command_line(words: Sequence[str], first_file: int | None = None) -> CommandLine:
    """Split the arguments of a command from those of the program, which are behind ``--``.

    A script that begins with a line such as ``#!/usr/bin/env -S backend.ai run python`` has all
    words behind it for its arguments: Linux adds its path and its arguments to the words of that
    line.

    Args:
        words: the command line.
        first_file: index of the first word that names a file, and is no value of an option; None
            if there is none. No other word is opened: a pipe can be read only once.
    """
    end = words.index("--") if "--" in words else len(words)
    if (
        first_file is not None
        and first_file < end
        and _calls_this_command(words[first_file], words[:first_file])
    ):
        behind = first_file + 1
        return CommandLine([*words[:behind]], [*words[behind:]], by_shebang=True)
    return CommandLine([*words[:end]], [*words[end + 1 :]])


def _calls_this_command(script: str, words: Sequence[str]) -> bool:
    """Whether the first line of a file calls this command with `words`."""
    try:
        if not Path(script).is_file():
            return False  # to open a pipe would wait for its writer, or end it
        with Path(script).open("rb") as file:
            line = file.readline(_SHEBANG_BYTES)
        return line.startswith(b"#!") and _arguments_in(line[2:].decode()) == list(words)
    except (OSError, ValueError):  # no file, not UTF-8, or an open quote
        return False


def _arguments_in(shebang: str) -> list[str] | None:
    """The arguments of ``run`` in the first line of a script; None if that is not called there."""
    words = shlex.split(shebang)
    for at, word in enumerate(words):
        name = Path(word).name
        if name in _SHORTCUTS:
            return words[at + 1 :]
        if name == "backend.ai" and "run" in words[at:]:
            return words[words.index("run", at) + 1 :]
    return None


def explain_unknown_option(
    exc: click.NoSuchOption, line: CommandLine, ctx: click.Context
) -> click.UsageError:
    """The error for an option that this command does not have, and the program may have."""
    name = exc.option_name
    for at, word in enumerate(line.own):
        is_option = word.partition("=")[0] == name or (len(name) == 2 and word.startswith(name))
        if is_option and _names_program(line.own[:at], is_typo=bool(exc.possibilities)):
            program = [*line.own[at:], *line.program]
            return _belongs_to_program(no_such_option(exc), line.own[:at], program, ctx)
    return exc


def _names_program(words: Sequence[str], *, is_typo: bool) -> bool:
    """Whether the program is among the words before an option that is unknown."""
    for word in words:
        if language_of_file(word) or (Path(word).is_file() and not is_language(word)):
            return True
    return not is_typo and bool({"-c", "--code"} & {*words})


def explain_missing_files(
    missing: Sequence[Path], line: CommandLine, ctx: click.Context
) -> click.UsageError:
    """The error for files that do not exist, and may be arguments of the program."""
    words = [word for word in line.own if Path(word) in missing]
    own = [word for word in line.own if word not in words]
    text = f"{missing[0]}: no such file"
    return _belongs_to_program(text, own, [*words, *line.program], ctx)


def _belongs_to_program(
    text: str, own: Sequence[str], program: Sequence[str], ctx: click.Context
) -> click.UsageError:
    corrected = shlex.join([*own, "--", *program])
    return click.UsageError(
        f"{text}; the program's own arguments go behind --: {ctx.command_path} {corrected}", ctx
    )


def read_code() -> str:
    """Read code from standard input, to its end.

    Raises:
        click.UsageError: there is none.
    """
    if sys.stdin is None:
        raise click.UsageError("nothing to run: standard input is closed")
    code = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    if not code.strip():
        raise click.UsageError(
            "nothing to run: give code with -c or on standard input, or name files"
        )
    return code


def append_arguments(options: BatchOptions) -> BatchOptions:
    """The options, with the arguments behind the command that the user has given, if there is one.

    Otherwise the server appends them to the command of the runtime (see `BatchOptions.arguments`).
    """
    if not options.arguments or options.exec in (None, "*"):
        return options
    line = f"{options.exec} {shlex.join(options.arguments)}"
    return replace(options, exec=line, arguments=())
