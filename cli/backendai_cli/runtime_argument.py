"""The argument LANG, and what is said when it was forgotten: ``run main.py``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from .languages import is_language, language_of_file, language_of_shebang
from .parameters import NAME

__all__ = ["RUNTIME", "WORDS"]

WORDS = "backendai_cli.words"
"""Key in `click.Context.meta`: the words behind the command's name, as the user has typed them."""


class _Runtime(click.types.StringParamType):
    """The name of a runtime or image, and not that of a file."""

    name = "runtime"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = NAME.convert(value, param, ctx)
        language = _language_if_file(name)
        if language is not None and ctx is not None:
            raise click.UsageError(
                f"{name} is a file; the runtime comes first: "
                f"{_corrected(ctx, name, language or 'LANG')}",
                ctx,
            )
        return name


RUNTIME = _Runtime()


def _language_if_file(name: str) -> str | None:
    """The language of a file; ``""`` if it is not known, None for the name of a runtime."""
    if language := language_of_file(name):
        return language
    path = Path(name)
    if is_language(name) or not path.is_file():
        return None
    return language_of_shebang(path) or ("" if "/" in name else None)


def _corrected(ctx: click.Context, file: str, language: str) -> str:
    """The command line, with the language before the file."""
    if not any(parameter.name == "files" for parameter in ctx.command.params):
        return shlex.join(["backend.ai", "run", language, file])
    words: list[str] = [*ctx.meta.get(WORDS, [file])]
    words.insert(words.index(file), language)
    return f"{ctx.command_path} {shlex.join(words)}"
