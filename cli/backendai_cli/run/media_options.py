"""What the user wants done with pictures and other media: the options."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import click

from ..parameters import LocalPath

__all__ = ["MediaOptions", "media_options"]


@dataclass(frozen=True, kw_only=True)
class MediaOptions:
    """What the options say."""

    media: Literal["show", "kitty", "iterm2", "sixel", "save", "skip"] = "show"
    media_dir: Path = Path()

    def undrawn(self) -> MediaOptions:
        """The same, with files in place of pictures within the text."""
        return self if self.media == "skip" else replace(self, media="save")


def media_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add the options to a command, which receives them as its argument `media`."""

    @functools.wraps(function)
    def command(**arguments: object) -> int:
        own = {name: arguments.pop(name) for name in ("media", "media_dir")}
        return function(media=MediaOptions(**own), **arguments)  # type: ignore[arg-type]

    command = click.option(
        "--media-dir",
        metavar="FOLDER",
        type=LocalPath(file_okay=False),
        default=".",
        help="Where they are saved; no file is replaced [default: the current folder].",
    )(command)
    return click.option(
        "--media",
        type=click.Choice(["show", "kitty", "iterm2", "sixel", "save", "skip"]),
        default="show",
        help="Pictures and other media: shown by terminals that can and saved elsewhere [default: "
        "show]; shown by this protocol; always saved; or left out.",
    )(command)
