"""Charts as inline SVG: intervals before and after, learning curves, bars.

Colours, strokes and fonts come from the page's style sheet through classes, so that one drawing serves
light, dark and paper. Every chart has a title that says in words what it shows. Left out on purpose:
scripts, and any scale of scores but 0 to 100 %, so that charts can be compared at a glance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from tft.report.measures import Measure, number
from tft.report.words import DASH, interval, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.report.rows import CurvePoint

INTERVAL_WIDTH, INTERVAL_HEIGHT, EDGE = 200, 30, 7
CURVE_WIDTH, CURVE_HEIGHT = 200, 128
CURVE_LEFT, CURVE_RIGHT, CURVE_TOP, CURVE_BOTTOM = 27, 8, 8, 20
MOST_LABELS = 8


def _svg(width: int, height: int, kind: str, title: str, body: str) -> Markup:
    # ``body`` holds nothing but our own tags and formatted numbers; only the title can carry foreign text.
    return Markup(
        '<svg role="img" class="{}" viewBox="0 0 {} {}" width="{}" height="{}"><title>{}</title>{}</svg>'
    ).format(kind, width, height, width, height, title, Markup(body))  # noqa: S704


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _dot(x: float, y: float, radius: int, kind: str) -> str:
    return f'<circle class="dot {kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _said(measure: Measure | None) -> str:
    if measure is None:
        return "not measured"
    bounds = interval(measure)
    return percent(measure.score) + (f" (95 % interval {bounds})" if bounds else "")


def _across(share: float) -> float:
    return EDGE + min(1.0, max(0.0, share)) * (INTERVAL_WIDTH - 2 * EDGE)


def interval_chart(
    before: Measure | None, after: Measure | None, name: str, sides: Sequence[str] = ("before", "after")
) -> Markup:
    """Draw two scores with their intervals on one scale from 0 to 100 %, the first above the second.

    Args:
        before: the first.
        after: the second.
        name: of what was measured.
        sides: what the two are called.
    """
    body = [_line(_across(at), 1, _across(at), INTERVAL_HEIGHT - 1, "grid") for at in (0, 0.25, 0.5, 0.75, 1)]
    if before is not None and after is not None:
        body.append(_line(_across(before.score), 9, _across(after.score), 21, "link"))
    for measure, y, kind in ((before, 9, "before"), (after, 21, "after")):
        if measure is None:
            continue
        if measure.low is not None and measure.high is not None:
            body.append(_line(_across(measure.low), y, _across(measure.high), y, f"whisker {kind}"))
        body.append(_dot(_across(measure.score), y, 4, kind))
    title = f"{name}: {sides[0]} {_said(before)}, {sides[1]} {_said(after)}"
    return _svg(INTERVAL_WIDTH, INTERVAL_HEIGHT, "interval", title, "".join(body))


def interval_scale() -> Markup:
    """Draw the scale that stands above a column of interval charts."""
    ends = ((0.0, "0", "start"), (0.5, "50", "middle"), (1.0, "100 %", "end"))
    body = "".join(_text(_across(at) + (0 if at else -2), 11, text, anchor) for at, text, anchor in ends)
    return _svg(INTERVAL_WIDTH, 14, "interval", "scale from 0 to 100 %", body)


def learning_curve(points: Sequence[CurvePoint], name: str, mastery: object = None) -> Markup:
    """Draw the checks of one skill over the cycles.

    The line and its band of 95 % intervals join the checkpoints that were kept. A cycle that was rolled back
    is a cross on a dashed branch, and the line goes on from the checkpoint before it.

    Args:
        points: the checks in order of cycle.
        name: of the skill.
        mastery: the score from which the skill counts as mastered, drawn as a line; None draws none.
    """
    threshold = number(mastery)
    body = _axes(points)
    if threshold is not None:
        body.append(_line(CURVE_LEFT, _up(threshold), CURVE_WIDTH - CURVE_RIGHT, _up(threshold), "mastery"))
    body += _band(points) + _branches(points)
    kept = [point for point in points if point.promoted]
    path = " ".join(f"{_along(point, points):.1f},{_up(point.measure.score):.1f}" for point in kept)
    body.append(f'<polyline class="line after" points="{path}"/>')
    body += [_dot(_along(point, points), _up(point.measure.score), 3, "after") for point in kept]
    said = ", ".join(
        f"cycle {point.cycle} {percent(point.measure.score)}" + ("" if point.promoted else " (rolled back)")
        for point in points
    )
    return _svg(CURVE_WIDTH, CURVE_HEIGHT, "curve", f"{name} on the check: {said or DASH}", "".join(body))


def _along(point: CurvePoint, points: Sequence[CurvePoint]) -> float:
    first, last = points[0].cycle, points[-1].cycle
    share = (point.cycle - first) / (last - first) if last > first else 0.5
    return CURVE_LEFT + 6 + share * (CURVE_WIDTH - CURVE_LEFT - CURVE_RIGHT - 12)


def _up(share: float) -> float:
    return CURVE_TOP + (1 - min(1.0, max(0.0, share))) * (CURVE_HEIGHT - CURVE_TOP - CURVE_BOTTOM)


def _axes(points: Sequence[CurvePoint]) -> list[str]:
    body = []
    for share, text in ((0.0, "0"), (0.5, "50"), (1.0, "100")):
        body.append(_line(CURVE_LEFT, _up(share), CURVE_WIDTH - CURVE_RIGHT, _up(share), "grid"))
        body.append(_text(CURVE_LEFT - 4, _up(share) + 3.5, text, "end"))
    step = max(1, -(-len(points) // MOST_LABELS))
    labels = [_text(_along(point, points), CURVE_HEIGHT - 6, str(point.cycle), "middle") for point in points[::step]]
    return body + labels


def _band(points: Sequence[CurvePoint]) -> list[str]:
    upper, lower = [], []
    for point in points:
        low, high = point.measure.low, point.measure.high
        if point.promoted and low is not None and high is not None:
            x = _along(point, points)
            upper.append(f"{x:.1f},{_up(high):.1f}")
            lower.append(f"{x:.1f},{_up(low):.1f}")
    if len(upper) == 1:
        return [f'<polyline class="whisker after" points="{upper[0]} {lower[0]}"/>']
    return [f'<polygon class="band" points="{" ".join(upper + lower[::-1])}"/>'] if upper else []


def _branches(points: Sequence[CurvePoint]) -> list[str]:
    body, kept = [], None
    for point in points:
        if point.promoted:
            kept = point
            continue
        x, y = _along(point, points), _up(point.measure.score)
        if kept is not None:
            body.append(_line(_along(kept, points), _up(kept.measure.score), x, y, "branch"))
        body.append(_line(x - 3.5, y - 3.5, x + 3.5, y + 3.5, "refused"))
        body.append(_line(x - 3.5, y + 3.5, x + 3.5, y - 3.5, "refused"))
    return body


def bar(part: object, whole: object, name: str, kind: str = "after") -> Markup:
    """Draw a part of a whole as a bar; empty where either was not measured."""
    amount, total = number(part), number(whole)
    share = amount / total if amount is not None and total else None
    width = 0.0 if share is None else min(1.0, max(0.0, share)) * INTERVAL_WIDTH
    body = f'<rect class="track" x="0" y="3" width="{INTERVAL_WIDTH}" height="8" rx="2"/>'
    if width:
        body += f'<rect class="fill {kind}" x="0" y="3" width="{max(1.0, width):.1f}" height="8" rx="2"/>'
    said = "not measured" if share is None else percent(share)
    return _svg(INTERVAL_WIDTH, 14, "bar", f"{name}: {said}", body)


def key(kind: str) -> Markup:
    """Draw one entry of the legend: ``before``, ``after``, ``refused`` or ``mastery``."""
    if kind == "refused":
        body = _line(4, 3, 12, 11, "refused") + _line(4, 11, 12, 3, "refused")
    elif kind == "mastery":
        body = _line(0, 7, 24, 7, "mastery")
    else:
        body = _line(0, 7, 24, 7, f"whisker {kind}") + _dot(12, 7, 4, kind)
    return _svg(16 if kind == "refused" else 24, 14, "key", f"mark: {kind}", body)
