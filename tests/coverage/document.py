"""docs/coverage.md: what the official clients have, and what ours is called.

After a change of commands, options or data:

    python -m tests.coverage.document > docs/coverage.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .comparison import (
    Options,
    Row,
    compare,
    is_taken,
    our_commands,
    read_counterparts,
    read_official,
)

__all__ = ["RELEASES", "document"]

RELEASES = ("26.9.6", "1.1.1")

_INTRODUCTION = """\
# What the official clients have, and ours

Each command and each option of the official command line 26.9.6, and of 1.1.1: what it is called
here, or why there is none. A program in `tests/coverage` prints this document, our half of it from
the commands themselves, and a test fails when it is out of date.

This client is for running code in compute sessions, for the files and folders of that code, and for
the administration that goes with it. Where ours is named, an option that is called the same is
listed by its name; `official` → `ours` where the names differ. Further options of ours are behind a
plus sign. "Also as" is before official names that are taken here, too, and not shown by help.
"""


def document() -> str:
    """The whole document.

    Raises:
        WrongData: see `compare`.
    """
    ours = our_commands()
    parts = [_INTRODUCTION]
    named: set[str] = set()
    for release in RELEASES:
        official = read_official(release)
        rows = compare(official, ours, read_counterparts(release))
        for row in rows:
            named.update([] if isinstance(row.ours, str) else row.ours)
        second = [row for row in rows if f"{row.name} ".startswith("v2 ")]
        first = [row for row in rows if row not in second]
        parts.append(
            f"## The official command line {release}\n\n{_count(first)}\n\n{_table(first)}"
        )
        if second:
            parts.append(f"### Its commands for the v2 API\n\n{_count(second)}\n\n{_table(second)}")
    further = [name for name in ours if name and name not in named and not _has_below(name, ours)]
    listed = ", ".join(f"`{name}`" for name in further)
    parts.append(f"## Commands of ours that no official one is like\n\n{listed}.\n")
    return "\n".join(parts)


def _has_below(name: str, commands: Mapping[str, Options]) -> bool:
    return any(other.startswith(f"{name} ") for other in commands)


def _count(rows: Sequence[Row]) -> str:
    def commands(rows: Sequence[Row]) -> int:
        return sum(len(row.commands) + len(row.aliases) for row in rows)

    with_ours = [row for row in rows if not isinstance(row.ours, str)]
    have = sum(len(row.same) + len(row.renamed) for row in with_ours)
    missing = sum(len(row.missing) for row in with_ours)
    return (
        f"Of its {commands(rows)} commands, {commands(with_ours)} have a counterpart here, with "
        f"{have} of their {have + missing} options."
    )


def _table(rows: Sequence[Row]) -> str:
    lines = ["| Official | Ours | Options |", "| --- | --- | --- |"]
    for row in rows:
        names = [f"`{row.name or 'backend.ai'}`", *(f"`{alias}`" for alias in row.aliases)]
        official = ", ".join(names)
        below = [name.removeprefix(row.name).strip() for name in row.commands if name != row.name]
        if below:
            official += ": " + ", ".join(f"`{name}`" for name in below)
        if isinstance(row.ours, str):
            lines.append(f"| {official} | none: {row.ours} | |")
        else:
            ours = ", ".join(f"`{name or 'backend.ai'}`" for name in row.ours)
            taken = [name for name in (row.name, *row.aliases) if is_taken(name)]
            if also := [name for name in taken if name not in row.ours]:
                ours += ", also as " + ", ".join(f"`{name}`" for name in also)
            lines.append(f"| {official} | {ours} | {_options(row)} |")
    return "\n".join(lines) + "\n"


def _options(row: Row) -> str:
    parts = []
    if row.same:
        parts.append(" ".join(dict.fromkeys(row.same)))
    for name, references in row.renamed:
        parts.append(f"`{name}` → " + ", ".join(f"`{reference}`" for reference in references))
    reasons: dict[str, list[str]] = {}
    for name, reason in row.missing:
        reasons.setdefault(reason, []).append(f"`{name}`")
    for reason, names in reasons.items():
        parts.append(f"no {', '.join(dict.fromkeys(names))}: {reason}")
    if row.more:
        parts.append("+ " + " ".join(f"`{name}`" for name in dict.fromkeys(row.more)))
    return "; ".join(parts)


if __name__ == "__main__":
    print(document(), end="")
