"""Rows as text and as Markdown, and Markdown between markers of a file. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from .rows import BARE, OURS, Row, Table, spread

__all__ = [
    "ON_REQUEST",
    "chosen",
    "markdown_table",
    "refreshed",
    "shown",
    "text_table",
    "text_tables",
]

_SCALES = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")),
    "bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")),
    "%": ((0.01, "%"),),
    "times": ((1.0, ""),),
}
ON_REQUEST = ("load", "soak")
"""Groups that run when they are named only, and stand in tables that name them."""
_MARKED = re.compile(r"(<!-- benchmarks:([^>]*?)-->\n)(.*?)(<!-- end of benchmarks -->)", re.DOTALL)


def shown(value: float, unit: str, size: int = 0) -> str:
    """A figure with three digits and its unit; with a size, a throughput. Counts are whole."""
    if size and value > 0:
        return f"{_three(size / 1e6 / value)} MB/s"
    if unit == "count":
        return f"{value:,.0f}"
    scales = _SCALES[unit]
    factor, name = next((pair for pair in scales if abs(value) >= pair[0]), scales[-1])
    return f"{_three(value / factor)} {name}".rstrip()


def _three(value: float) -> str:
    """Three digits, and more only before the point."""
    size = abs(value)
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2}f}"


def _columns(rows: Sequence[Row]) -> list[tuple[str, Callable[[Row], str]]]:
    def figure(who: str) -> Callable[[Row], str]:
        def cell(row: Row) -> str:
            if who not in row.samples:
                return ""
            return shown(spread(row.samples[who]).median, row.unit, row.size)

        return cell

    def bare(row: Row) -> str:
        text = figure(BARE)(row)
        return f"{text} ({row.bare})" if text and row.bare else text

    def ratio(row: Row) -> str:
        found = row.ratio()
        if found is None:
            return ""
        return f"{found.median:.2f} ({found.least:.2f} to {found.most:.2f}) of {row.reference}"

    def limit(row: Row) -> str:
        if row.limit is None:
            return ""
        most = f"{row.limit.most:g} of {row.limit.of}"
        if not row.limit.of:
            most = shown(row.limit.most, row.unit)
        return f"{most} {row.verdict or 'not measured'}"

    who = dict.fromkeys(who for row in rows for who in row.samples if who not in (OURS, BARE))
    official = sorted(who)
    return [
        ("ours", figure(OURS)),
        *((f"official {version}", figure(version)) for version in official),
        ("bare", bare),
        ("ours / other: median (min to max)", ratio),
        ("limit", limit),
    ]


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    """The heading and the lines, without columns that are empty in all of them."""
    columns = _columns(rows)
    lines = [[row.name, *(cell(row) for _, cell in columns)] for row in rows]
    heading = ["", *(title for title, _ in columns)]
    kept = [number for number in range(len(heading)) if any(line[number] for line in lines)]
    return [[line[number] for number in kept] for line in (heading, *lines)]


def text_table(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    if not rows:
        return ""
    return _aligned(_cells(rows))


def text_tables(found: Sequence[Row | Table]) -> str:
    """Tables for a terminal: of all rows, and each other one."""
    texts = [text_table([row for row in found if isinstance(row, Row)])]
    texts += [
        f"{table.title}\n{_aligned(_cells_of(table))}{table.note}\n"
        for table in found
        if isinstance(table, Table)
    ]
    return "\n".join(text for text in texts if text)


def _cells_of(table: Table) -> list[list[str]]:
    units = list(table.columns.values())
    lines = [
        [
            f"{name} (chosen)" if name in table.marked else name,
            *(
                "" if value is None else shown(value, unit) if value else "0"
                for value, unit in zip(values, units, strict=True)
            ),
        ]
        for name, values in table.lines.items()
    ]
    return [["", *table.columns], *lines]


def _aligned(cells: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )
    return "\n".join(lines) + "\n"


def markdown_table(rows: Sequence[Row]) -> str:
    """The table in Markdown."""
    if not rows:
        return ""
    return _markdown(_cells(rows))


def _markdown(cells: list[list[str]]) -> str:
    heading, *lines = cells
    rule = ["---", *["---:"] * (len(heading) - 1)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (heading, rule, *lines))


def chosen(rows: Iterable[Row], words: Sequence[str]) -> list[Row]:
    """The rows of these groups; "headlines" means those of the short table, no word all but those
    of `ON_REQUEST`."""
    return [
        row
        for row in rows
        if (not words and row.group not in ON_REQUEST)
        or row.group in words
        or ("headlines" in words and row.headline)
    ]


def refreshed(text: str, rows: Sequence[Row], setting: str, tables: Sequence[Table] = ()) -> str:
    """A Markdown file with new tables between its markers.

    A table begins with ``<!-- benchmarks: WORDS -->``, where the words are as for `chosen`, and
    ends with ``<!-- end of benchmarks -->``. One for which there are no rows stays as it is.

    Args:
        text: the file.
        rows: what was measured.
        setting: a sentence on the machine and the run, put below each table of rows.
        tables: stand where a word names their group.

    Raises:
        ValueError: the file has no markers.
    """
    if not _MARKED.search(text):
        raise ValueError("no <!-- benchmarks: WORDS --> with its <!-- end of benchmarks -->")

    def table(match: re.Match[str]) -> str:
        words = match[2].split()
        found = chosen(rows, words)
        texts = [f"{markdown_table(found)}\n{setting}\n"] if found else []
        texts += [
            f"**{table.title}**\n\n{_markdown(_cells_of(table))}\n{table.note}\n"
            for table in tables
            if table.group in words
        ]
        return f"{match[1]}{chr(10).join(texts)}{match[4]}" if texts else match[0]

    return _MARKED.sub(table, text)
