"""Whether a student knows what it knows: stated confidence against what was right, and what it gains by staying silent.

Confidence is the probability of the whole answer under the student. Beside the error stands the base rate, because a
student that is always right and always sure has nothing to be calibrated about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tft.statistics import measure_calibration, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tft.records import Sitting

SHARES = (1.0, 0.9, 0.75, 0.5)
"""Shares of questions that are answered, the surest first; the others are left unanswered."""


def calibrate(sitting: Sitting | None, roles: Mapping[str, str]) -> dict[str, Any]:
    """Measure calibration on one exam; null where no answer has a confidence.

    ``by_role`` parts it by the role of the skills: who was never taught a skill is often sure of it, and wrong.
    ``abstention`` says how many of the answers are right if only a share of the questions is answered, those it is
    surest of (selective prediction: El-Yaniv and Wiener 2010), and from which confidence on it answers then.

    Args:
        sitting: the exam.
        roles: of the skills, by name.
    """
    sure: list[tuple[float, bool]] = []
    parts: dict[str, list[tuple[float, bool]]] = {}
    for it in sitting.answers if sitting else ():
        if it.attempt.confidence is not None:
            sure.append((it.attempt.confidence, it.verdict.passed))
            parts.setdefault(roles.get(it.attempt.item.skill, "taught"), []).append(sure[-1])
    ranked = sorted(sure, key=lambda it: -it[0])
    return {
        **measure_calibration(sure),
        "by_role": {role: measure_calibration(part) for role, part in parts.items()},
        "abstention": [_answered(ranked[: max(1, round(share * len(ranked)))], share) for share in SHARES if ranked],
    }


def _answered(kept: list[tuple[float, bool]], share: float) -> dict[str, float]:
    right = sum(passed for _, passed in kept)
    low, high = wilson_interval(right, len(kept))
    return {"answered": share, "right": right / len(kept), "low": low, "high": high, "from_confidence": kept[-1][0]}
