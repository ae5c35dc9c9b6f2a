from __future__ import annotations

import re

import pytest

from tft.report import charts
from tft.report.measures import Measure
from tft.report.rows import CurvePoint

from .reader import Element, Page

LOW, HIGH = Measure(0.25, 0.2, 0.3, 100), Measure(0.75, 0.7, 0.8, 100)


def curve(*marks: tuple[int, float, bool]) -> list[CurvePoint]:
    return [
        CurvePoint(cycle, promoted, Measure(score, score - 0.05, score + 0.05, 64)) for cycle, score, promoted in marks
    ]


def drawn(svg: str, tag: str, kind: str) -> list[Element]:
    return [item for item in Page(svg).all(tag) if item.attributes.get("class") == kind]


def test_a_dot_stands_where_its_score_is() -> None:
    svg = charts.interval_chart(LOW, HIGH, "add_2")
    at = {kind: float(drawn(svg, "circle", f"dot {kind}")[0].attributes["cx"]) for kind in ("before", "after")}
    span = charts.INTERVAL_WIDTH - 2 * charts.EDGE
    assert at["before"] == pytest.approx(charts.EDGE + 0.25 * span, abs=0.05)
    assert at["after"] == pytest.approx(charts.EDGE + 0.75 * span, abs=0.05)


def test_a_whisker_reaches_from_low_to_high() -> None:
    whisker = drawn(charts.interval_chart(LOW, HIGH, "add_2"), "line", "whisker after")[0].attributes
    span = charts.INTERVAL_WIDTH - 2 * charts.EDGE
    assert float(whisker["x2"]) - float(whisker["x1"]) == pytest.approx(0.1 * span, abs=0.11)


def test_what_was_not_measured_is_not_drawn() -> None:
    svg = charts.interval_chart(LOW, None, "add_2")
    assert not drawn(svg, "circle", "dot after")
    assert not drawn(svg, "line", "link")
    assert "after not measured" in svg
    pointless = charts.interval_chart(Measure(0.5, None, None, None), None, "add_2")
    assert drawn(pointless, "circle", "dot before")
    assert not drawn(pointless, "line", "whisker before")


def test_a_foreign_name_is_escaped() -> None:
    for svg in (
        charts.interval_chart(LOW, HIGH, "</title><script>"),
        charts.learning_curve(curve((0, 0.1, True)), "</title><script>"),
        charts.bar(1, 2, "</title><script>"),
    ):
        assert "<script>" not in svg
        assert "&lt;script&gt;" in svg


def test_the_line_joins_only_what_was_kept() -> None:
    svg = charts.learning_curve(curve((0, 0.1, True), (1, 0.6, True), (2, 0.2, False), (3, 0.9, True)), "add_2")
    line = drawn(svg, "polyline", "line after")[0].attributes["points"].split()
    assert len(line) == 3
    heights = [float(point.split(",")[1]) for point in line]
    assert heights == sorted(heights, reverse=True)
    assert len(drawn(svg, "line", "branch")) == 1
    assert len(drawn(svg, "line", "refused")) == 2
    assert "cycle 2 20.0\xa0% (rolled back)" in svg


def test_the_branch_leaves_from_the_checkpoint_before() -> None:
    svg = charts.learning_curve(curve((0, 0.1, True), (1, 0.2, False), (2, 0.3, False)), "add_2")
    dot = drawn(svg, "circle", "dot after")[0].attributes
    for branch in drawn(svg, "line", "branch"):
        assert (branch.attributes["x1"], branch.attributes["y1"]) == (dot["cx"], dot["cy"])


def test_one_check_alone_can_be_drawn() -> None:
    svg = charts.learning_curve(curve((0, 0.5, True)), "add_2")
    assert len(drawn(svg, "circle", "dot after")) == 1
    assert len(drawn(svg, "polyline", "whisker after")) == 1
    assert "nan" not in svg


def test_mastery_is_a_line_only_where_it_is_known() -> None:
    points = curve((0, 0.1, True), (1, 0.6, True))
    assert len(drawn(charts.learning_curve(points, "add_2", 0.9), "line", "mastery")) == 1
    assert not drawn(charts.learning_curve(points, "add_2", None), "line", "mastery")


def test_a_long_campaign_keeps_its_labels_apart() -> None:
    svg = charts.learning_curve(curve(*((cycle, 0.5, True) for cycle in range(100))), "add_2")
    # Three labels belong to the scale of scores.
    assert len(Page(svg).all("text")) - 3 <= charts.MOST_LABELS


def test_everything_stays_inside_the_drawing() -> None:
    wild = [CurvePoint(0, True, Measure(-3.0, -9.0, 9.0, 1)), CurvePoint(1, False, Measure(7.0, 0.0, 1.0, 1))]
    svg = charts.learning_curve(wild, "add_2", 5.0)
    heights = [float(found) for found in re.findall(r' (?:y1|y2|cy)="([-\d.]+)"', svg)]
    assert heights
    assert all(0 <= height <= charts.CURVE_HEIGHT for height in heights)


@pytest.mark.parametrize(
    ("part", "whole", "width"), [(50, 100, 100.0), (100, 100, 200.0), (300, 100, 200.0), (1, 10_000, 1.0)]
)
def test_a_bar_is_as_long_as_its_share(part: int, whole: int, width: float) -> None:
    assert float(drawn(charts.bar(part, whole, "kept"), "rect", "fill after")[0].attributes["width"]) == width


@pytest.mark.parametrize(("part", "whole"), [(None, 10), (3, None), (3, 0), (0, 10)])
def test_a_bar_of_nothing_is_empty(part: int | None, whole: int | None) -> None:
    assert not drawn(charts.bar(part, whole, "kept"), "rect", "fill after")


def test_a_bar_tells_nothing_from_not_measured() -> None:
    assert "kept: 0.0\xa0%" in charts.bar(0, 10, "kept")
    assert "kept: not measured" in charts.bar(None, 10, "kept")
