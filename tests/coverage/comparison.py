"""The commands and options of an official client, compared with ours.

The official half is data: `official-*.txt` (names only; `click_tree.py` and `argparse_tree.py`
print them) and `counterparts-*.toml`, which says what ours is called where the names differ, or why
there is none. Our half is the options that our commands have.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import click

from backendai_cli.main import cli

__all__ = [
    "Counterparts",
    "Options",
    "Row",
    "WrongData",
    "compare",
    "is_taken",
    "our_commands",
    "read_counterparts",
    "read_official",
]

FOLDER = Path(__file__).resolve().parent
SETTINGS = FOLDER.parent.parent / "docs" / "guides" / "settings.md"

Options = Sequence[tuple[str, ...]]
"""The options of a command, each with all its names."""

EVERY = "*"
"""In the data: all options of a command that have no counterpart of their own."""


class WrongData(Exception):
    """The data says what is not so, or says nothing of what is there."""


class Counterparts(NamedTuple):
    """What `counterparts-*.toml` holds: names of ours, or the reason why there are none."""

    commands: Mapping[str, Sequence[str] | str]
    """By command, or by group for all below it."""
    options: Mapping[str, Mapping[str, Sequence[str] | str]]
    """By command or group, then by the option's first long name, or `*`."""
    aliases: Mapping[str, str]
    """Commands that are others under a second name."""


def read_official(release: str) -> dict[str, Options]:
    """The options of each command of an official client, by the command's name."""
    text = (FOLDER / f"official-{release}.txt").read_text()
    found: dict[str, Options] = {}
    for line in text.splitlines():
        name, _, options = line.partition(":")
        found[name] = [tuple(option.split("/")) for option in options.split()]
    return found


def read_counterparts(release: str) -> Counterparts:
    """What is ours, and the reasons."""
    data = tomllib.loads((FOLDER / f"counterparts-{release}.toml").read_text())
    return Counterparts(data["commands"], data.get("options", {}), data.get("aliases", {}))


def our_commands() -> dict[str, Options]:
    """The options of each command of ours, and of the shortcuts for one."""
    found = dict(_walk(cli, "", click.Context(cli)))
    return found | dict.fromkeys(("lcc", "lpython"), found["run"])


def is_taken(name: str) -> bool:
    """Whether ours takes a command's name, perhaps as one that help does not show."""
    command: click.Command | None = cli
    for word in name.split():
        if not isinstance(command, click.Group):
            return False
        command = command.get_command(click.Context(command), word)
    return command is not None


def _walk(
    command: click.Command, path: str, context: click.Context
) -> Iterator[tuple[str, Options]]:
    yield (
        path.strip(),
        [
            (*parameter.opts, *parameter.secondary_opts)
            for parameter in command.params
            if isinstance(parameter, click.Option) and not parameter.hidden
        ],
    )
    if isinstance(command, click.Group):
        for name in sorted(command.list_commands(context)):
            below = command.get_command(context, name)
            assert below is not None
            yield from _walk(below, f"{path} {name}", context)


@dataclass
class Row:
    """An official command, or a group of which one thing is to be said."""

    name: str
    commands: list[str]
    """What the row is about: the command, or those of the group."""
    ours: Sequence[str] | str
    aliases: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    renamed: list[tuple[str, Sequence[str]]] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    more: list[str] = field(default_factory=list)


def compare(
    official: Mapping[str, Options], ours: Mapping[str, Options], counterparts: Counterparts
) -> list[Row]:
    """Compare an official client with ours.

    Args:
        official: its commands.
        ours: our commands.
        counterparts: names and reasons.

    Returns:
        One row for each official command, or for each group of which one thing is said.

    Raises:
        WrongData: a command or an option has neither counterpart nor reason; a name of ours does
            not exist; or an entry is of no use.
    """
    return _Comparison(official, ours, counterparts).rows()


class _Comparison:
    def __init__(
        self, official: Mapping[str, Options], ours: Mapping[str, Options], data: Counterparts
    ) -> None:
        self._official, self._ours, self._data = official, ours, data
        self._used: set[tuple[str, str]] = set()
        self._problems: list[str] = []

    def rows(self) -> list[Row]:
        rows: dict[str, Row] = {}
        for name, options in self._official.items():
            if name in self._data.aliases:
                continue
            key = next((place for place in _places(name) if place in self._data.commands), None)
            if key is None:
                self._problems.append(f"{name!r}: neither a command of ours nor a reason")
                continue
            self._used.add(("commands", key))
            value = self._data.commands[key]
            row = rows.setdefault(key, Row(key, [], value))
            row.commands.append(name)
            if isinstance(value, str):
                if name in self._ours:
                    self._problems.append(f"{name!r}: there is a reason, but ours has it")
                continue
            self._compare_options(name, options, value, row)
        for name, other in self._data.aliases.items():
            self._add_alias(name, other, rows)
        self._find_needless()
        if self._problems:
            raise WrongData("\n".join(self._problems))
        return list(rows.values())

    def _add_alias(self, name: str, other: str, rows: Mapping[str, Row]) -> None:
        if self._official.get(name) != self._official.get(other) or other not in rows:
            self._problems.append(f"{name!r} is not {other!r} under another name")
        else:
            rows[other].aliases.append(name)

    def _compare_options(self, name: str, options: Options, ours: Sequence[str], row: Row) -> None:
        for command in ours:
            if command not in self._ours:
                self._problems.append(f"{name!r}: ours has no command {command!r}")
        available = [option for command in ours for option in self._ours.get(command, ())]
        met: set[Sequence[str]] = set()
        for names in options:
            label = next((text for text in names if text.startswith("--")), names[0])
            same = [option for option in available if set(_long(names)) & set(_long(option))]
            met.update(same)
            value = self._lookup(name, label, own_only=bool(same))
            if value is None and not same:
                self._problems.append(f"{name!r} {label}: neither an option of ours nor a reason")
            elif value is None:
                row.same.append(_shared(names, same[0]))
            elif isinstance(value, str):
                row.missing.append((label, value))
            else:
                for reference in value:
                    self._check(reference, available, f"{name!r} {label}")
                    met.update(option for option in available if reference in option)
                row.renamed.append((label, value))
        for option in available:
            text = next(iter(_long(option)), option[0])
            if option not in met:
                row.more.append(text)

    def _lookup(self, name: str, label: str, *, own_only: bool) -> Sequence[str] | str | None:
        """What is said of an option; of one that ours has by name, only what its command says."""
        places = [name] if own_only else list(_places(name))
        for key in (label, EVERY):
            for place in places:
                value = self._data.options.get(place, {}).get(key)
                if value is not None and not (own_only and key == EVERY):
                    self._used.add((place, key))
                    return value
        return None

    def _check(self, reference: str, available: Options, where: str) -> None:
        """That ours has what is named: an option, a command and its option, or a variable."""
        command, _, option = reference.rpartition(" ")
        if reference.startswith("BACKEND_"):
            known = f"`{reference}`" in SETTINGS.read_text(encoding="utf-8")
        elif reference.startswith("-"):
            known = any(reference in names for names in available)
        elif option.startswith("-"):
            known = any(option in names for names in self._ours.get(command, ()))
        else:
            known = reference in self._ours
        if not known:
            self._problems.append(f"{where}: ours has no {reference!r}")

    def _find_needless(self) -> None:
        entries = [("commands", key) for key in self._data.commands]
        entries += [(place, key) for place, keys in self._data.options.items() for key in keys]
        for place, key in entries:
            if (place, key) not in self._used:
                self._problems.append(f"the entry {key!r} of {place!r} is of no use")


def _places(name: str) -> Iterator[str]:
    """The command, its group, the group of that one, and so on to "" for everything."""
    words = name.split()
    for count in range(len(words), -1, -1):
        yield " ".join(words[:count])


def _shared(official: Sequence[str], ours: Sequence[str]) -> str:
    """An option's long name in both, and the names that ours does not know."""
    name = next(text for text in _long(official) if text in ours)
    unknown = " ".join(f"`{text}`" for text in official if text not in ours)
    return f"`{name}`" + (f" (not {unknown})" if unknown else "")


def _long(names: Sequence[str]) -> list[str]:
    return [name for name in names if name.startswith("--")]
