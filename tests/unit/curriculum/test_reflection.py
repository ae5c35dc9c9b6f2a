from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.making import sitting
from tft.config.campaign import TuitionConfig
from tft.config.cards import SkillCard
from tft.curriculum import Compared, Evidence, estimate, keep_best, reflect
from tft.curriculum.findings import name_gamed_grader
from tft.records import Decision, Mastery, Opinion, Sitting, Usage

SKILLS = {
    "facts": SkillCard(title="facts", role="retention"),
    "add": SkillCard(title="add"),
    "sub": SkillCard(title="sub"),
    "far": SkillCard(title="far", role="stretch"),
}
CONFIG = TuitionConfig(mastery=0.9, max_drop=0.05, patience=2)


def check(facts: int = 100, add: int = 0, sub: int = 0, far: int = 0) -> Sitting:
    """Make a check of a hundred items a skill, the first so many right."""
    marks = {"facts": facts, "add": add, "sub": sub, "far": far}
    return sitting("check", **{skill: "1" * right + "0" * (100 - right) for skill, right in marks.items()})


def evidence(before: Sitting, after: Sitting, history: Sequence[float] = (0.0,), **more: Any) -> Evidence:
    """Make evidence of two checks, in which the one before is the best so far unless another is given."""
    best = more.pop("best", before)
    return Evidence(Compared(before, best, after), history, more.pop("known", estimate([after])), **more)


def decide(before: Sitting, after: Sitting, history: Sequence[float] = (0.0,), **more: Any) -> Decision:
    return reflect("ada", len(history), SKILLS, evidence(before, after, history, **more), CONFIG)


def test_progress_is_promoted() -> None:
    decision = decide(check(add=10, sub=10), check(add=60, sub=20), [0.1])
    assert (decision.student, decision.cycle, decision.promoted, decision.stop) == ("ada", 1, True, None)
    assert "10.0% to 40.0%" in decision.reason


def test_standing_still_is_promoted_too() -> None:
    assert decide(check(add=50), check(add=50), [0.25]).promoted


def test_a_mean_that_fell_is_rolled_back() -> None:
    decision = decide(check(add=50, sub=50), check(add=52, sub=46), [0.5])
    assert not decision.promoted
    assert decision.reason.startswith("rolled back: the mean of the taught skills fell from 50.0% to 49.0%")


def test_a_retention_skill_that_fell_for_sure_is_rolled_back_and_named() -> None:
    decision = decide(check(facts=100, add=0), check(facts=80, add=90), [0.0])
    assert not decision.promoted
    assert "facts fell by 20.0%" in decision.reason
    assert "add" not in decision.reason


def test_a_taught_skill_may_not_be_paid_for_with_another() -> None:
    decision = decide(check(add=80, sub=0), check(add=40, sub=90), [0.4])
    assert not decision.promoted
    assert "add fell by 40.0%" in decision.reason


def test_a_drop_within_its_bound_is_borne() -> None:
    assert decide(check(facts=100, add=0), check(facts=95, add=50), [0.0]).promoted


def test_a_drop_that_may_be_an_accident_is_borne() -> None:
    # One of ten is more than the bound, and yet the interval reaches 0.
    before, after = sitting(facts="1111111111", add="0000"), sitting(facts="1111111110", add="1111")
    assert decide(before, after).promoted


def test_a_stretch_skill_may_fall() -> None:
    assert decide(check(far=100), check(far=0, add=10), [0.0]).promoted


def test_mastery_of_all_taught_skills_ends_it() -> None:
    assert decide(check(add=50, sub=50), check(add=90, sub=95), [0.5]).stop == "mastery"
    assert decide(check(add=50, sub=50), check(add=89, sub=99), [0.5]).stop is None


@pytest.mark.parametrize(("cycle", "lost", "promoted"), [
    (1, 8, True), (1, 10, False),   # at 97.5 %
    (2, 10, True), (2, 12, False),  # at 99.2 %
    (9, 12, True), (9, 17, False),  # at 99.94 %: the same items, for the ninth time
])  # fmt: skip
def test_half_of_the_bound_must_have_been_passed_for_sure(cycle: int, lost: int, promoted: bool) -> None:
    before, after = check(add=100 - lost - 10, facts=100), check(add=95, facts=100 - lost)
    assert decide(before, after, [0.0] * cycle).promoted is promoted


def test_mastery_that_was_rolled_back_is_none() -> None:
    decision = decide(check(facts=100, add=95, sub=50), check(facts=50, add=95, sub=95), [0.1, 0.4])
    assert (decision.promoted, decision.stop) == (False, None)


@pytest.mark.parametrize(("history", "stop"), [
    ([0.5], None),             # one cycle without progress: patience is two
    ([0.5, 0.5], "plateau"),
    ([0.3, 0.5, 0.5], "plateau"),
    ([0.3, 0.5], None),
    ([0.48, 0.5], None),       # two points in two cycles are progress
    ([0.495, 0.5], "plateau"),
])  # fmt: skip
def test_a_plateau_is_no_progress_for_as_long_as_patience_lasts(history: list[float], stop: str | None) -> None:
    assert decide(check(add=50, sub=50), check(add=50, sub=50), history).stop == stop


def test_what_was_rolled_back_counts_as_no_progress() -> None:
    decision = decide(check(facts=100, add=50, sub=50), check(facts=0, add=80, sub=80), [0.5, 0.5])
    assert (decision.promoted, decision.stop) == (False, "plateau")


def test_sittings_that_are_not_of_the_same_items_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        decide(sitting(add="11"), sitting(add="1"))


def test_what_was_trained_on_the_exam_is_refused_however_good_it_is() -> None:
    decision = decide(check(add=10), check(add=100, sub=100), (0.05,), leaked=("1+1", "2+2", "3+3", "4+4"))
    assert not decision.promoted
    assert decision.reason == "rolled back: 4 lessons ask what the exams ask"
    assert decision.findings[0].startswith("leak: 4 lessons ask what the exams ask (1+1, 2+2, 3+3 …)")


def test_what_was_mastered_and_fell_is_called_forgetting() -> None:
    assert decide(check(add=92, sub=0), check(add=60, sub=80)).findings == (
        "catastrophic forgetting: add had been mastered",
    )
    assert decide(check(add=80, sub=0), check(add=40, sub=90)).findings == ()


@pytest.mark.parametrize(("right", "named"), [(31, False), (32, True)])
def test_what_was_learned_by_heart_is_called_overfitting(right: int, named: bool) -> None:
    trained = sitting("trained", add="1" * right + "0" * (32 - right))
    findings = decide(check(add=10, facts=0), check(add=71, facts=0), (0.05,), trained=trained).findings
    assert [it.partition(":")[0] for it in findings] == ["overfitting"] * named


@pytest.mark.parametrize(("reward", "graded", "named"), [
    ((0.2, 0.9), (0.5, 0.4), True),
    ((0.2, 0.9), (0.5, 0.46), False),  # an accident
    ((0.9, 0.2), (0.5, 0.4), False),   # nothing was gained by it
])  # fmt: skip
def test_a_reward_that_rises_while_the_grader_falls_is_called_hacked(
    reward: tuple[float, float], graded: tuple[float, float], named: bool
) -> None:
    findings = decide(check(), check(), measures={"reward": reward, "graded": graded}).findings
    assert [it.partition(":")[0] for it in findings] == ["reward hacking"] * named
    assert decide(check(), check()).findings == ()


@pytest.mark.parametrize(("earlier", "later", "named"), [
    (6, 0, True), (5, 0, False), (10, 2, True), (10, 3, False), (0, 16, False), (0, 0, False),
])  # fmt: skip
def test_a_grader_that_passes_what_the_judge_likes_less_is_called_hacked(earlier: int, later: int, named: bool) -> None:
    findings = name_gamed_grader(Opinion(16, earlier, later, Usage()))
    assert [it.partition(":")[0] for it in findings] == ["reward hacking"] * named


def test_a_skill_may_not_slide_away_in_steps_that_are_each_small() -> None:
    # Eight points a cycle: less than the bound, or than what is sure, since the cycle before.
    first, second, third = check(facts=100), check(facts=92, add=10), check(facts=84, add=20)
    best = keep_best(first, second)
    assert decide(first, second).promoted
    assert decide(second, third, [0.0, 0.05]).promoted
    decision = decide(second, third, [0.0, 0.05], best=best)
    assert not decision.promoted
    assert decision.reason.startswith("rolled back: facts fell by 16.0% from its best (at least")
    assert decision.findings == ("catastrophic forgetting: facts had been mastered",)


def test_the_best_is_kept_skill_by_skill() -> None:
    best = keep_best(sitting(add="110", sub="100"), sitting(add="100", sub="011"))
    assert best.answers == (*sitting(add="110").answers, *sitting(sub="011").answers)
    # Of two alike the newer one is nearer to what comes.
    assert keep_best(sitting(add="10"), sitting(add="01")) == sitting(add="01")


def test_a_fall_that_is_sure_and_small_is_promoted_and_told() -> None:
    told = decide(check(facts=100, add=10), check(facts=93, add=60)).reason
    assert "from 5.0% to 30.0%, and none fell beyond its bound; furthest: facts fell by 7.0% (at least" in told
    told = decide(check(facts=100, add=10), check(facts=100, add=60)).reason
    assert told.endswith("and none fell beyond its bound")


def watched(before: str, after: str, best: str | None = None) -> Compared:
    return Compared(*(sitting("watched", trivia=marks) for marks in (before, best or before, after)))


def test_a_whole_exam_that_fell_is_rolled_back_and_named() -> None:
    decision = decide(check(add=10), check(add=60), watched=watched("1" * 100, "1" * 80 + "0" * 20))
    assert not decision.promoted
    assert decision.reason.startswith("rolled back: the whole exam trivia fell by 20.0% (at least")
    assert decision.findings == ("catastrophic forgetting of general knowledge: trivia fell beyond the bound",)
    assert decide(check(add=10), check(add=60), watched=watched("1" * 100, "1" * 96 + "0" * 4)).promoted


def test_a_whole_exam_may_not_slide_away_either() -> None:
    found = watched("1" * 88 + "0" * 12, "1" * 80 + "0" * 20, best="1" * 100)
    assert "the whole exam trivia fell by 20.0% from its best" in decide(check(), check(add=9), watched=found).reason


def test_mastery_is_what_is_believed_not_what_one_check_says() -> None:
    doubted = {"add": Mastery("add", 90, 100, 0.88, 0.8, 0.93), "sub": Mastery("sub", 95, 100, 0.93, 0.9, 0.98)}
    assert decide(check(add=50, sub=50), check(add=90, sub=95), [0.5], known=doubted).stop is None
