from __future__ import annotations

import pytest

from tests.making import sitting
from tft.curriculum import estimate, mastered, mean_score
from tft.records import Mastery
from tft.statistics import wilson_interval


def known(score: float) -> Mastery:
    return Mastery("add", round(100 * score), 100, score, 0.0, 1.0)


def test_answers_of_all_sittings_are_pooled_by_skill() -> None:
    found = estimate([sitting("probe", add="1100", sub="0"), sitting("check", add="11")])
    assert set(found) == {"add", "sub"}
    add = found["add"]
    assert (add.skill, add.right, add.n, add.score) == ("add", 4, 6, pytest.approx(4 / 6))
    assert (add.low, add.high) == wilson_interval(4, 6)
    assert (found["sub"].right, found["sub"].n) == (0, 1)


def test_nothing_asked_is_nothing_known() -> None:
    assert estimate([]) == {}
    assert estimate([sitting("probe")]) == {}


def test_the_threshold_itself_is_mastery() -> None:
    assert mastered(known(0.9), 0.9)
    assert not mastered(known(0.89), 0.9)
    assert not mastered(None, 0.9)


def test_the_mean_is_over_the_named_skills_that_were_asked() -> None:
    scores = {"add": known(1.0), "sub": known(0.5), "mul": known(0.0)}
    assert mean_score(scores, ["add", "sub"]) == 0.75
    assert mean_score(scores, ["add", "never"]) == 1.0
    assert mean_score(scores, []) == 0.0
