from __future__ import annotations

import pytest

from tests.making import sitting
from tft.curriculum import Decisions, Trace, believe, estimate, hear, mastered, mean_score
from tft.curriculum.beta import beta_below
from tft.records import Mastery
from tft.statistics import wilson_interval

DECISIONS = Decisions(mastery=0.9, thresholds=(0.9, 0.75), zone=0.1)


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


def test_a_belief_is_the_beta_of_what_was_right_and_wrong() -> None:
    belief = believe(hear({}, sitting(add="1" * 30 + "00"), 2), DECISIONS)["add"]
    assert (belief.right, belief.n, belief.asked, belief.aged) == (30, 32, 2, 0)
    assert beta_below(belief.score, 31, 3) == pytest.approx(0.5)
    assert beta_below(belief.high, 31, 3) - beta_below(belief.low, 31, 3) == pytest.approx(0.95)
    assert belief.probability == pytest.approx(1 - beta_below(0.9, 31, 3))
    assert belief.undecided == (0.9,)


def test_where_all_is_right_perfection_is_within_the_interval() -> None:
    found = believe(hear({}, sitting(add="1" * 40, sub="0" * 40), 0), DECISIONS)
    assert found["add"].high == 1
    assert found["sub"].low == 0
    assert found["add"].undecided == found["sub"].undecided == ()


def test_old_answers_move_a_belief_by_their_weight_and_are_not_counted_as_right_of_asked() -> None:
    fresh = {str(place): Trace(place < 24, 3) for place in range(32)}
    faded = {f"old {place}": Trace(True, 1, 0.25) for place in range(32)}
    alone, both = (believe({"add": page}, DECISIONS)["add"] for page in (fresh, {**fresh, **faded}))
    assert (both.right, both.n, both.asked) == (alone.right, alone.n, alone.asked) == (24, 32, 3)
    assert both.aged == pytest.approx(8)
    assert beta_below(both.score, 1 + 24 + 8, 1 + 8) == pytest.approx(0.5)
    assert both.score > alone.score
    assert both.high - both.low < alone.high - alone.low


def test_mastery_is_believed_where_it_is_more_likely_than_not() -> None:
    for wrong in range(12):
        belief = believe(hear({}, sitting(add="1" * (100 - wrong) + "0" * wrong), 0), DECISIONS)["add"]
        assert belief.probability is not None
        assert mastered(belief, 0.9) == (belief.probability >= 0.5) == (wrong <= 9)


def test_a_skill_that_was_never_asked_is_not_believed_in() -> None:
    assert believe({}, DECISIONS) == {}
    assert believe({"add": {}}, DECISIONS) == {}
