"""Charts: well-formed, with everything inside the picture and in its place."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.drawing import plots
from benchmarks.plot import line_chart, ratio_chart, time_chart
from benchmarks.rows import BARE, OURS, Curves, Limit, Row

SVG = "{http://www.w3.org/2000/svg}"
costs = st.floats(min_value=1e-6, max_value=1e6)


def compared(ours: list[float], theirs: list[float], limit: float | None = None) -> Row:
    found = None if limit is None else Limit(limit, "23.9.10")
    return Row("group", "a <name> & more", {OURS: ours, "23.9.10": theirs}, limit=found)


def coordinates(picture: str) -> Iterator[tuple[float, float, float, float]]:
    """Of each element: x, y, and the picture's width and height."""
    root = ET.fromstring(picture)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for element in root.iter():
        for x, y in (("x", "y"), ("x1", "y1"), ("x2", "y2"), ("cx", "cy")):
            if x in element.attrib:
                yield float(element.attrib[x]), float(element.attrib[y]), width, height


@given(st.lists(st.tuples(costs, costs, st.none() | costs), min_size=1, max_size=5))
def test_ratios_are_inside_the_picture(values: list[tuple[float, float, float | None]]) -> None:
    picture = ratio_chart([compared([a], [b], limit) for a, b, limit in values], "A title")
    for x, y, width, height in coordinates(picture):
        assert -0.1 <= x <= width + 0.1 and -0.1 <= y <= height + 0.1


def test_less_is_further_left() -> None:
    rows = [compared([value], [1.0]) for value in (0.1, 0.5, 1.0, 4.0)]
    root = ET.fromstring(ratio_chart(rows, "A title"))
    places = [float(dot.attrib["cx"]) for dot in root.iter(f"{SVG}circle")]
    assert places == sorted(places) and len(set(places)) == 4


def test_names_are_escaped() -> None:
    root = ET.fromstring(ratio_chart([compared([1.0], [2.0])], "<A> & title"))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "<A> & title" in texts and "a <name> & more (official 23.9.10)" in texts


def test_rows_without_another_client_make_no_chart() -> None:
    with pytest.raises(ValueError):
        ratio_chart([Row("group", "name", {OURS: [1.0]})], "A title")


@given(st.lists(st.tuples(st.integers(1, 10_000), costs), min_size=1, max_size=5))
def test_lines_are_inside_the_picture(points: list[tuple[float, float]]) -> None:
    picture = line_chart({"ours": points}, "A title", x_label="held", unit="s")
    for x, y, width, height in coordinates(picture):
        assert -0.1 <= x <= width + 0.1 and -0.1 <= y <= height + 0.1


def test_linear_growth_is_a_straight_line_through_the_origin() -> None:
    line = [(100.0, 10.0), (300.0, 30.0), (1000.0, 100.0)]
    root = ET.fromstring(line_chart({"ours": line}, "A title", x_label="held", unit="s"))
    dots = [(float(d.attrib["cx"]), float(d.attrib["cy"])) for d in root.iter(f"{SVG}circle")]
    (x1, y1), (x2, y2), (x3, y3) = dots
    assert (y2 - y1) / (x2 - x1) == pytest.approx((y3 - y2) / (x3 - x2), rel=0.01)
    assert y3 < y2 < y1


def test_no_points_make_no_chart() -> None:
    with pytest.raises(ValueError):
        line_chart({}, "A title", x_label="held", unit="s")


def test_the_plots_of_a_run() -> None:
    rows = [
        replace(compared([1.0], [2.0]), headline=True),
        Row("group", "short", {OURS: [1.0], BARE: [1.0]}, headline=True),
        Row("lone", "alone", {OURS: [1.0]}),
        *(
            Row("scale", f"Memory: {n}", {OURS: [n * 1e3]}, "bytes", x=n, series="Memory, by n")
            for n in (10.0, 20.0)
        ),
    ]
    found = plots(rows, {"group": "A group", "lone": "One", "scale": "Scale"})
    assert set(found) == {"headlines.svg", "group.svg", "memory-by-n.svg"}
    for picture in found.values():
        ET.fromstring(picture)


def over_time(*lines: list[float]) -> Curves:
    named = {f"line {number}": line for number, line in enumerate(lines)}
    return Curves("group", "A title", "seconds", "requests", named, background="line 0")


@given(
    st.lists(st.lists(st.just(0.0) | costs, min_size=1, max_size=2000), min_size=1, max_size=6)
    .filter(lambda lines: any(map(any, lines)))
)  # fmt: skip
def test_curves_are_inside_the_picture(lines: list[list[float]]) -> None:
    picture = time_chart(over_time(*lines))
    root = ET.fromstring(picture)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    found = list(root.iter(f"{SVG}polyline"))
    assert len(found) == len(lines)
    for line in found:
        for corner in line.attrib["points"].split():
            x, y = map(float, corner.split(","))
            assert -0.1 <= x <= width + 0.1 and -0.1 <= y <= height + 0.1


def test_ten_times_more_is_as_much_higher_everywhere() -> None:
    root = ET.fromstring(time_chart(over_time([1.0, 10.0, 100.0])))
    (line,) = root.iter(f"{SVG}polyline")
    (_, y1), (_, y2), (_, y3) = (map(float, c.split(",")) for c in line.attrib["points"].split())
    assert y1 > y2 > y3 and y1 - y2 == pytest.approx(y2 - y3, abs=0.2)


def test_curves_without_figures_make_no_chart() -> None:
    with pytest.raises(ValueError):
        time_chart(over_time([0.0, 0.0]))


def test_curves_have_a_plot_of_their_own() -> None:
    assert set(plots([], {}, [over_time([1.0, 2.0])])) == {"a-title.svg"}
