from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tft.config.campaign import TuitionConfig
from tft.config.cards import SkillCard
from tft.curriculum import Purse, Standing
from tft.curriculum import plan as plan_standing
from tft.curriculum.spending import spend
from tft.records import Mastery, Syllabus, Tuition

SKILLS = {
    "facts": SkillCard(title="facts", role="retention"),
    "short": SkillCard(title="short", needs=("facts",)),
    "long": SkillCard(title="long", needs=("short",)),
    "longest": SkillCard(title="longest", role="stretch"),
}
CONFIG = TuitionConfig(lessons=1000, mastery=0.9, critiques=0.25, replay=0.25)
scores = st.dictionaries(st.sampled_from(sorted(SKILLS)), st.integers(0, 100))


SPENT = Purse(spent=True)
LAST = CONFIG.cycles
"""A cycle after which no skill has a share of tokens kept for it."""


def known(**scores: int) -> dict[str, Mastery]:
    return {skill: Mastery(skill, score, 100, score / 100, 0.0, 1.0) for skill, score in scores.items()}


def plan(
    student: str, cycle: int, skills: dict[str, SkillCard], found: dict[str, Mastery], config: TuitionConfig,
    shown: dict[str, int] | None = None, roll_backs: int = 0, *, purse: Purse | None = None, **more: Any,
) -> Syllabus:  # fmt: skip
    """Plan with few words."""
    standing = Standing(student, cycle, found, shown or {}, roll_backs=roll_backs, purse=purse or Purse(), **more)
    return plan_standing(standing, skills, config)


def make(config: TuitionConfig = CONFIG, roll_backs: int = 0, **scores: int) -> Syllabus:
    return plan("ada", 1, SKILLS, known(**scores), config, roll_backs=roll_backs)


def taught(syllabus: Syllabus, *, alone: bool = True) -> dict[str, int]:
    """Count new lessons by skill, with or without those that a student makes alone."""
    found: dict[str, int] = {}
    for line in syllabus.tuition:
        if line.kind != "replay" and (alone or line.kind != "self_training"):
            found[line.skill] = found.get(line.skill, 0) + line.lessons
    return found


def kinds(syllabus: Syllabus, skill: str) -> dict[str, int]:
    return {line.kind: line.lessons for line in syllabus.tuition if line.skill == skill}


def test_what_is_mastered_gets_no_tuition_only_rehearsal() -> None:
    syllabus = make(facts=100, short=95, long=0)
    assert taught(syllabus) == {"long": 1000}
    assert syllabus.mastered == ("facts", "short")
    assert set(kinds(syllabus, "facts")) == set(kinds(syllabus, "short")) == {"replay"}


def test_a_skill_waits_for_what_it_needs_and_says_so() -> None:
    syllabus = make(facts=100, short=50, long=0)
    assert taught(syllabus).keys() == {"short"}
    assert syllabus.waiting == {"long": "needs short"}
    assert make(facts=50).waiting == {"short": "needs facts", "long": "needs short"}


def test_a_need_that_the_campaign_left_out_is_not_waited_for() -> None:
    syllabus = plan("ada", 1, {"long": SKILLS["long"]}, {}, CONFIG)
    assert taught(syllabus) == {"long": 1000}


def test_retention_and_stretch_are_never_taught() -> None:
    assert taught(make(facts=10, short=0, long=0, longest=0)) == {}
    assert taught(make(facts=100, short=100, long=100, longest=0)) == {}


def test_different_gaps_get_different_tuition() -> None:
    assert taught(make(facts=100, short=20)) != taught(make(facts=100, short=100, long=20))


@pytest.mark.parametrize(("score", "lessons"), [
    (0, 1000), (50, 1000),  # all of it up to a half
    (60, 800), (75, 500),   # then twice what is missing
    (88, 250), (89, 250),   # and a quarter at least
])  # fmt: skip
def test_the_weaker_the_more(score: int, lessons: int) -> None:
    config = CONFIG.model_copy(update={"methods": "demonstration"})
    assert taught(make(config, facts=100, short=score))["short"] == lessons


def test_the_more_is_right_the_less_the_tutor_is_asked() -> None:
    assert kinds(make(facts=100, short=24), "short") == {"demonstration": 1000}
    some = kinds(make(facts=100, short=25), "short")
    assert some == {"demonstration": 750, "critique": 250, "self_training": 1000}
    assert kinds(make(facts=100, short=60), "short") == {"self_training": 800}
    never = make(facts=100)
    assert kinds(never, "short") == {"demonstration": 1000}
    assert next(line.reason for line in never.tuition if line.skill == "short").startswith("never asked")


def test_a_tutor_whose_tokens_are_shared_out_need_not_rest() -> None:
    purse = Purse(tokens=1e6, prices={"short": 10.0}, scarce=True)
    found = plan("ada", LAST, SKILLS, known(facts=100, short=60), CONFIG, purse=purse)
    assert kinds(found, "short") == {"demonstration": 800, "self_training": 800}
    few = plan(
        "ada", LAST, SKILLS, known(facts=100, short=60), CONFIG, purse=Purse(100.0, {"short": 10.0}, scarce=True)
    )
    assert kinds(few, "short") == {"demonstration": 10, "self_training": 800}


@pytest.mark.parametrize(("most", "shown"), [(None, 750), (300, 300), (900, 750)])
def test_the_tutors_own_lessons_may_be_fewer(most: int | None, shown: int) -> None:
    config = CONFIG.model_copy(update={"demonstrations": most})
    found = plan("ada", 2, SKILLS, known(facts=100, short=30), config)
    assert kinds(found, "short") == {"demonstration": shown, "critique": 250, "self_training": 1000}


def test_without_any_the_student_is_alone() -> None:
    config = CONFIG.model_copy(update={"demonstrations": 0, "critiques": 0.0})
    assert kinds(plan("ada", 2, SKILLS, known(facts=100, short=30), config), "short") == {"self_training": 1000}


def test_where_only_a_judge_can_say_what_is_better_it_is_asked() -> None:
    judged = {
        score: kinds(plan("ada", 1, SKILLS, known(facts=100, short=score), CONFIG, judged=True), "short")
        for score in (24, 25, 60)
    }
    assert judged[24] == {"demonstration": 1000}
    assert judged[25] == {"demonstration": 750, "critique": 250, "preference": 1000}
    assert judged[60] == {"preference": 800}
    alone = plan("ada", 2, SKILLS, known(facts=100, short=60), CONFIG, purse=SPENT, judged=True)
    assert kinds(alone, "short") == {"self_training": 800}


METHODS = ("demonstration", "critique", "self_training", "feedback", "preference", "practice")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("score", [0, 60])
def test_a_pinned_method_is_the_only_one(method: str, score: int) -> None:
    config = CONFIG.model_copy(update={"methods": method})
    assert set(kinds(make(config, facts=100, short=score), "short")) == {method}


@pytest.mark.parametrize(("share", "kind"), [(0.0, "demonstration"), (1.0, "critique")])
def test_a_kind_without_lessons_has_no_line(share: float, kind: str) -> None:
    config = CONFIG.model_copy(update={"critiques": share})
    assert kinds(make(config, facts=100, short=50), "short") == {kind: 1000, "self_training": 1000}


def spent(config: TuitionConfig = CONFIG, **scores: int) -> Syllabus:
    """Plan where the tutor's budget is spent."""
    return plan("ada", 2, SKILLS, known(facts=100, **scores), config, {"short": 400}, purse=SPENT)


def test_where_the_tutor_is_spent_all_that_was_shown_is_read_again() -> None:
    assert kinds(spent(short=0), "short") == {"demonstration": 1000, "replay": 400}
    assert kinds(spent(short=1), "short") == {"demonstration": 1000, "self_training": 1000, "replay": 400}
    assert kinds(spent(short=40), "short") == {"demonstration": 1000, "self_training": 1000, "replay": 400}
    assert kinds(spent(short=60), "short") == {"self_training": 800, "replay": 400}
    assert kinds(spent(short=60), "facts") == {"replay": round((800 + 400) / 3)}
    assert spent(short=95, long=95).tuition == ()


@pytest.mark.parametrize("method", METHODS)
def test_a_spent_tutor_is_asked_for_nothing(method: str) -> None:
    syllabus = spent(CONFIG.model_copy(update={"methods": method}), short=40)
    # Demonstrations that it has written for others cost nothing.
    asks = {"critique", "feedback"}
    assert set(kinds(syllabus, "short")) == {"replay"} | ({method} - asks)


def test_rehearsal_takes_its_share_of_all_rows() -> None:
    # 1000 new lessons and a quarter of all rows: 333 rows. A skill of the curriculum weighs as much as three others,
    # and has as many rows at least as another one has new lessons.
    syllabus = make(facts=100, short=95, long=0)
    assert kinds(syllabus, "facts") == {"replay": 83}
    assert kinds(syllabus, "short") == {"replay": 1000}
    assert kinds(make(facts=100, short=95, long=80), "short") == {"replay": 400}


def test_what_has_to_be_kept_is_rehearsed_while_anything_of_it_is_right() -> None:
    assert kinds(make(facts=80, short=0), "facts") == {"replay": 333}
    assert kinds(make(facts=0, short=0), "facts") == {}
    (line,) = [line for line in make(facts=80, short=0).tuition if line.skill == "facts"]
    assert line.reason == "to be kept: no tuition, only rehearsal, so that it stays"


def test_what_an_earlier_campaign_taught_is_rehearsed_as_much_as_something_new_is_shown() -> None:
    skills = {"facts": SKILLS["facts"], "old": SkillCard(title="old", role="retention"), "new": SkillCard(title="new")}
    syllabus = plan("ada", 1, skills, known(facts=100, old=80, new=0), CONFIG, kept=("old",))
    # As many as are new; its share of them would be 250.
    assert (kinds(syllabus, "facts"), kinds(syllabus, "old")) == ({"replay": 83}, {"replay": 1000})
    off = CONFIG.model_copy(update={"replay": 0.0})
    assert kinds(plan("ada", 1, skills, known(facts=100, old=80), off, kept=("old",)), "old") == {}


def test_a_mastered_stretch_skill_is_not_rehearsed() -> None:
    assert kinds(make(facts=100, short=0, longest=95), "longest") == {}


def test_nothing_is_rehearsed_where_nothing_is_taught_or_replay_is_off() -> None:
    assert make(facts=100, short=100, long=100).tuition == ()
    off = CONFIG.model_copy(update={"replay": 0.0})
    assert kinds(make(off, facts=100, short=0), "facts") == {}


def test_a_roll_back_halves_the_learning_rate_and_adds_to_the_rehearsal() -> None:
    rows = [kinds(make(facts=100, short=0, roll_backs=times), "facts")["replay"] for times in range(4)]
    # Shares of a quarter, a half, and no more than a half.
    assert rows == [333, 1000, 1000, 1000]
    assert [make(roll_backs=times).learning_rate_scale for times in range(3)] == [1.0, 0.5, 0.25]


@given(scores, st.integers(0, 5), st.floats(0, 1), st.floats(0, 1))
def test_whatever_is_known_the_syllabus_is_sound(
    marks: dict[str, int], roll_backs: int, replay: float, critiques: float
) -> None:
    config = CONFIG.model_copy(update={"replay": replay, "critiques": critiques})
    syllabus = make(config, roll_backs, **marks)
    held, waiting, now = set(syllabus.mastered), set(syllabus.waiting), set(taught(syllabus))
    assert held == {skill for skill, score in marks.items() if score >= 90}
    assert not held & waiting and not held & now and not waiting & now
    assert waiting | now == {"short", "long"} - held
    kept = held | ({"facts"} if marks.get("facts") else set())
    for line in syllabus.tuition:
        assert line.lessons > 0
        assert line.reason
        assert (line.kind == "replay") == (line.skill in kept)
        within_reach = {skill for skill, score in marks.items() if score >= 75}
        assert set(SKILLS[line.skill].needs) <= within_reach or line.kind == "replay"
    total = sum(taught(syllabus).values())
    assert sum(taught(syllabus, alone=False).values()) <= 2 * CONFIG.lessons
    rehearsed = sum(line.lessons for line in syllabus.tuition if line.kind == "replay")
    assert rehearsed <= 2 * total + len(kept)


@given(st.integers(0, 89), st.integers(0, 89))
def test_a_weaker_student_never_gets_less(first: int, second: int) -> None:
    low, high = sorted([first, second])
    weaker, stronger = (taught(make(facts=100, short=it), alone=False).get("short", 0) for it in (low, high))
    assert weaker >= stronger
    assert taught(make(facts=100, short=high))["short"] >= math.ceil(CONFIG.lessons / 4)


def test_the_learning_rate_does_not_grow_from_cycle_to_cycle() -> None:
    scales = [plan("ada", cycle, SKILLS, known(facts=100), CONFIG).learning_rate_scale for cycle in (1, 2, 3)]
    assert scales[0] == 1.0
    assert scales == sorted(scales, reverse=True)
    assert all(scale > 0 for scale in scales)


def test_what_was_shown_before_is_read_again_in_part() -> None:
    syllabus = plan("ada", 2, SKILLS, known(facts=100, short=40), CONFIG, {"short": 100, "facts": 40})
    again = {line.skill: line.lessons for line in syllabus.tuition if line.kind == "replay"}
    assert again == {"short": round(100 * CONFIG.review), "facts": round(40 * CONFIG.review)}


def test_nothing_is_read_again_where_nothing_new_is_taught() -> None:
    mastered_all = known(**dict.fromkeys(SKILLS, 100))
    assert plan("ada", 2, SKILLS, mastered_all, CONFIG, {"short": 100}).tuition == ()


def test_a_roll_back_adds_to_what_is_read_again() -> None:
    def again(roll_backs: int) -> int:
        syllabus = plan("ada", 2, SKILLS, known(facts=100), CONFIG, {"short": 100}, roll_backs)
        return next(line.lessons for line in syllabus.tuition if line.kind == "replay" and line.skill == "short")

    assert [again(roll_backs) for roll_backs in (0, 1, 5)] == [50, 100, 100]


def test_who_learns_from_one_kind_gets_that_kind_alone() -> None:
    for only in ("demonstration", "preference"):
        syllabus = plan("ada", 2, SKILLS, known(facts=100, short=40), CONFIG, {"short": 100}, only=only)
        assert set(kinds(syllabus, "short")) == {only, "replay"}
        line = next(it for it in syllabus.tuition if it.kind == only)
        assert line.reason.endswith("are what its head learns from")
        # Its own right answers are no pairs.
        assert bool(kinds(syllabus, "facts")) == (only == "demonstration")


def rich(tokens: float, **prices: float) -> Purse:
    return Purse(tokens, prices)


def test_where_tokens_reach_for_everything_nothing_is_cut() -> None:
    found = known(facts=100, short=10)
    assert plan("ada", 1, SKILLS, found, CONFIG, purse=rich(100_000, short=50)) == make(facts=100, short=10)
    # And where nobody knows what a lesson costs, nothing can be cut.
    assert plan("ada", 1, SKILLS, found, CONFIG, purse=rich(10)) == make(facts=100, short=10)


WIDE = {**SKILLS, "other": SkillCard(title="other"), "third": SkillCard(title="third", needs=("other",))}


def cut(purse: Purse, shown: dict[str, int] | None = None, **scores: int) -> Syllabus:
    return plan("ada", LAST, WIDE, known(facts=100, **scores), CONFIG, shown, purse=purse)


def test_tokens_go_where_they_are_expected_to_gain_most() -> None:
    # Twice as dear: half as far.
    dear = cut(rich(50_000, short=100, other=50), short=10, other=10)
    assert taught(dear) == {"other": 1000}
    assert dear.waiting["short"] == "the tutor's tokens go further elsewhere"
    # Shown often, and little came of it.
    slow = cut(rich(50_000, short=50, other=50), {"short": 4000}, short=10, other=10)
    assert taught(slow) == {"other": 1000}
    # One that others wait for counts for them, too.
    alone = {name: card for name, card in WIDE.items() if name != "third"}
    free = plan(
        "ada", LAST, alone, known(facts=100, short=10, other=10), CONFIG, purse=rich(50_000, short=50, other=50)
    )
    assert taught(free) == {"short": 1000}


@pytest.mark.parametrize(("price", "critiques"), [(None, 200), (100.0, 100), (5000.0, 2)])
def test_critiques_cost_what_critiques_cost(price: float | None, critiques: int) -> None:
    whole = kinds(cut(Purse(), short=100, long=100, other=40), "other")
    assert (whole["demonstration"], whole["critique"]) == (750, 250)
    # 750 demonstrations at 50 tokens, and 10,000 tokens for the rest.
    purse = Purse(47_500, {"other": 50.0}, critique=price)
    found = kinds(cut(purse, short=100, long=100, other=40), "other")
    assert (found["demonstration"], found["critique"]) == (750, critiques)


def test_what_files_bring_costs_no_tokens() -> None:
    file = Tuition("short", "demonstration", 300, "material", "file.jsonl")
    waiting = {"long": "needs short"}
    for tokens, bought in ((1_000_000.0, 1000), (500.0, 10), (0.0, 0)):
        tutor = Tuition("short", "demonstration", 1000, "not yet safe")
        standing = Standing("ada", 1, known(short=10), purse=rich(tokens, short=50))
        kept, waits = spend([file, tutor], standing, SKILLS, waiting, 1000, last=True)
        assert {it.source: it.lessons for it in kept} == {"file.jsonl": 300, **({"": bought} if bought else {})}
        assert waits == {}


def test_what_scarce_tokens_have_bought_is_read_again_in_full() -> None:
    purse = Purse(1_000_000, {"short": 50}, scarce=True)
    assert kinds(cut(purse, {"short": 400}, short=10, other=10), "short")["replay"] == 400
    pinned = CONFIG.model_copy(update={"methods": "demonstration"})
    again = plan("ada", 2, WIDE, known(facts=100, short=10), pinned, {"short": 400}, purse=purse)
    assert kinds(again, "short")["replay"] == 200


def test_what_is_cut_says_so() -> None:
    syllabus = cut(rich(60_000, short=50, other=50), short=10, other=10)
    assert taught(syllabus) == {"short": 1000, "other": 200}
    line = next(it for it in syllabus.tuition if it.skill == "other" and it.kind == "demonstration")
    assert line.reason.endswith("; 200 of 1000, as far as tokens reach")


def test_a_skill_that_waits_has_its_share_kept() -> None:
    def granted(cycle: int, shown: dict[str, int] | None = None, ready: dict[str, int] | None = None) -> dict[str, int]:
        purse = Purse(30_000, {"short": 50}, ready or {})
        return taught(plan("ada", cycle, SKILLS, known(facts=100, short=10), CONFIG, shown, purse=purse))

    # Two skills, 600 lessons: one is taught, and one waits for it.
    assert granted(2) == {"short": 300}
    assert granted(LAST) == {"short": 600}
    assert granted(2, shown={"long": 1}) == {"short": 600}
    assert granted(2, ready={"long": 1}) == {"short": 600}


def test_what_somebody_has_paid_for_costs_nothing() -> None:
    purse = Purse(10_000, {"short": 50, "other": 50}, {"other": 900})
    assert taught(cut(purse, {"other": 5000}, short=10, other=5)) == {"short": 200, "other": 900}
    assert taught(cut(purse, {"short": 5000}, short=10, other=5)) == {"short": 100, "other": 1000}


def test_what_costs_no_tokens_is_never_cut() -> None:
    syllabus = cut(rich(0, short=50), short=40, other=70)
    assert {line.kind for line in syllabus.tuition} == {"self_training", "replay"}


def test_a_pinned_method_is_not_cut() -> None:
    config = CONFIG.model_copy(update={"methods": "demonstration"})
    syllabus = plan("ada", 2, WIDE, known(facts=100), config, purse=rich(10, short=50, other=50))
    assert taught(syllabus) == {"short": 1000, "other": 1000}


def test_what_stays_mastered_is_read_ever_less() -> None:
    def again(cycles: int, roll_backs: int = 0, score: int = 100) -> int:
        found = known(facts=100, short=score)
        syllabus = plan("ada", 5, WIDE, found, CONFIG, {"short": 400}, roll_backs, held={"short": cycles})
        return kinds(syllabus, "short")["replay"]

    assert [again(cycles) for cycles in range(4)] == [200, 100, 50, 25]
    assert again(3, roll_backs=1) == 400
    assert again(3, score=85) == 200
