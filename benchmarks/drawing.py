"""The plots of a run, by the names of their files."""

from __future__ import annotations

from collections.abc import Sequence

from .plot import line_chart, ratio_chart, time_chart
from .rows import BARE, OURS, Curves, Row, spread

__all__ = ["plots"]


def plots(
    rows: Sequence[Row], titles: dict[str, str], curves: Sequence[Curves] = ()
) -> dict[str, str]:
    """All plots for which there are rows.

    Args:
        rows: what was measured.
        titles: of the groups, by their names.
        curves: what was measured over time.
    """
    found: dict[str, str] = {}
    headlines = [row for row in rows if row.headline and row.reference != BARE]
    for name, title, part in (
        ("headlines", "Ours in times of the official client", headlines),
        *(
            (name, title, [row for row in rows if row.group == name])
            for name, title in titles.items()
        ),
    ):
        compared = [row for row in part if not row.series and row.ratio() is not None]
        if compared:
            found[f"{name}.svg"] = ratio_chart(compared, title)
    for series in dict.fromkeys(row.series for row in rows if row.series):
        found[f"{_file_name(series)}.svg"] = _growth([row for row in rows if row.series == series])
    for each in curves:
        found[f"{_file_name(each.title)}.svg"] = time_chart(each)
    return found


def _file_name(series: str) -> str:
    return "-".join(series.lower().replace(",", "").split())


def _growth(rows: Sequence[Row]) -> str:
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for who, samples in row.samples.items():
            name = who if who == OURS else f"official {who}"
            lines.setdefault(name, []).append((row.x or 0.0, spread(samples).median))
    return line_chart(lines, rows[0].series, x_label="held by one process", unit=rows[0].unit)
