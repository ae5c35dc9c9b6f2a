"""Numbers of a campaign as it goes, under names that stay: one place that turns what a stage made into metrics."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tft.records import Checkpoint, Curated, Decision, Offered, Sitting

if TYPE_CHECKING:
    from collections.abc import Mapping


def measure(stage: str, student: str, result: Any) -> dict[str, float]:
    """Give the metrics of a result, by name: ``<student or tutor>/<stage>/<what>``; none where it has none.

    Args:
        stage: its name.
        student: whom it concerns; empty for the tutor's own work.
        result: what it made.
    """
    place = f"{student or 'tutor'}/{stage}"
    return {f"{place}/{name}": float(value) for name, value in _measure(result).items() if value is not None}


def _measure(result: Any) -> Mapping[str, float | None]:
    match result:
        case Sitting(answers=answers, exam=exam) if answers:
            right: Counter[str] = Counter()
            asked = Counter(it.attempt.item.skill for it in answers)
            for it in answers:
                right[it.attempt.item.skill] += it.verdict.passed
            whole = {f"{exam}/all": right.total() / len(answers)}
            return whole | {f"{exam}/{skill}": right[skill] / asked[skill] for skill in asked}
        case Offered():
            return {
                "lessons": len(result.lessons),
                "refused": len(result.rejections),
                "tutor_tokens": result.usage.total,
                "tutor_tokens_cached": result.usage.cached,
            }
        case Curated():
            kinds = Counter(str(lesson.kind) for lesson in result.kept)
            return {"kept": len(result.kept), "refused": len(result.rejections), **kinds}
        case Checkpoint():
            ends = {name: last for name, (_, last) in result.measures.items()}
            return {"tokens": result.trained_tokens, "steps": result.steps, "loss": result.loss_last, **ends}
        case Decision():
            return {"promoted": result.promoted, "findings": len(result.findings)}
    return {}
