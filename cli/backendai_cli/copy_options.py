"""Options of the commands that copy folders: links, exclusions, times; and what was left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .console import Status, printable
from .parameters import NAME

if TYPE_CHECKING:
    from backendai_trio.files import Exclusions, Links, Upload

__all__ = [
    "SELECTION",
    "LeftOut",
    "Selection",
    "kernel_selection_options",
    "links_option",
    "preserve_option",
    "refuse_options",
    "selection_options",
]

_SHOWN = 5
F = TypeVar("F", bound=Callable[..., Any])


def links_option(*choices: str, help: str) -> Callable[[F], F]:
    """The option ``--links``.

    Args:
        choices: what may become of links; the first one is the default.
        help: its help text.
    """
    return click.option(
        "--links", type=click.Choice(choices), default=choices[0], show_default=True, help=help
    )


def selection_options(*choices: str, help: str) -> Callable[[Callable[..., Any]], Any]:
    """The options that say what of a local folder is sent; the command gets a `Selection`.

    Args:
        choices: as for `links_option`.
        help: help text of ``--links``.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        @wraps(function)
        def command(
            *args: Any, links: Links, exclude: tuple[str, ...], exclude_ignored: bool, **kwargs: Any
        ) -> Any:
            selection = Selection(links, exclude, exclude_ignored)
            return function(*args, selection=selection, **kwargs)

        options = (links_option(*choices, help=help), _exclude_option, _exclude_ignored_option)
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _check_patterns(
    _ctx: click.Context, _param: click.Parameter, patterns: tuple[str, ...]
) -> tuple[str, ...]:
    """Refuse patterns that no copy can be made with."""
    if patterns:
        from backendai_trio.files import Exclusions

        for pattern in patterns:
            try:
                Exclusions((pattern,))
            except ValueError:
                raise click.BadParameter(
                    f"{pattern!r} is no pattern of a .gitignore file"
                ) from None
    return patterns


_exclude_option = click.option(
    "--exclude",
    metavar="PATTERN",
    type=NAME,
    multiple=True,
    callback=_check_patterns,
    help="Leave out files and folders of this name, such as '*.o' or /build; may be repeated. "
    "Patterns are those of .gitignore files.",
)
_exclude_ignored_option = click.option(
    "--exclude-ignored",
    is_flag=True,
    help="Leave out .git, and what .gitignore and .backendaiignore files name.",
)
kernel_selection_options = selection_options(
    "follow",
    "keep",
    "skip",
    help="Copy what symbolic links in folders lead to, copy them as links, or leave them out.",
)
preserve_option = click.option(
    "-p", "--preserve", is_flag=True, help="Keep the times of modification."
)


SELECTION = ("links", "exclude", "exclude_ignored")
"""Names of the parameters of `selection_options`."""


def refuse_options(copy: str, *names: str) -> None:
    """Refuse options of the current command that a copy of some kind would leave out.

    Args:
        copy: the kind, as the subject of a sentence.
        names: of the parameters.

    Raises:
        click.UsageError: one of them was given.
    """
    ctx = click.get_current_context()
    for param in ctx.command.params:
        given = ctx.get_parameter_source(str(param.name))
        if param.name in names and given is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{copy} takes no {max(param.opts, key=len)}", ctx)


class LeftOut:
    """Counts what is not copied; `report` shows a summary."""

    def __init__(self) -> None:
        self._links = _Counter()
        self._excluded = _Counter()

    def link(self, path: str | PathLike[str]) -> None:
        """Count a link or a device."""
        self._links.add(path)

    def excluded(self, path: str | PathLike[str]) -> None:
        """Count a file or a folder that is excluded."""
        self._excluded.add(path)

    def report(self, status: Status) -> None:
        """Show how much was left out, and the first few names."""
        self._links.report(status, "link", "links")
        self._excluded.report(status, "excluded file or folder", "excluded files or folders")


class _Counter:
    """Counts paths, and keeps the first few: a sync that watches looks at them for ever."""

    def __init__(self) -> None:
        self._count = 0
        self._first: list[str] = []

    def add(self, path: str | PathLike[str]) -> None:
        self._count += 1
        if len(self._first) < _SHOWN:
            self._first.append(fspath(path))

    def report(self, status: Status, one: str, many: str) -> None:
        if not self._count:
            return
        names = ", ".join(map(printable, self._first))
        more = ", ..." if self._count > _SHOWN else ""
        noun = one if self._count == 1 else many
        status.info(f"Left out {self._count:,} {noun}: {names}{more}")


@dataclass(frozen=True)
class Selection:
    """What of a local folder is sent; its patterns are well formed."""

    links: Links
    exclude: tuple[str, ...]
    ignore_files: bool
    left_out: LeftOut = field(default_factory=LeftOut)

    def plan(
        self, paths: list[Path] | tuple[Path, ...], *, base: Path | None, recursive: bool
    ) -> list[Upload]:
        """Plan an upload, and count what is left out; see `plan_uploads`.

        Raises:
            UploadError: as for `plan_uploads`.
        """
        from backendai_trio.files import plan_uploads

        return plan_uploads(
            paths,
            base=base,
            recursive=recursive,
            links=self.links,
            exclude=self.exclude,
            ignore_files=self.ignore_files,
            on_skip=self.left_out.link,
            on_exclude=self.left_out.excluded,
        )

    def exclusions(self, folder: Path) -> Exclusions:
        """What counts in a folder.

        Args:
            folder: the local folder.
        """
        from backendai_trio.files import Exclusions

        return Exclusions(self.exclude, root=folder, ignore_files=self.ignore_files)
