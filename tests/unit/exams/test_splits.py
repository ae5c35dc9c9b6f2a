from __future__ import annotations

import random
from collections.abc import Iterator

import items
import pytest

from tft.config.campaign import ExamsConfig
from tft.config.cards import SkillCard
from tft.errors import UserError
from tft.exams import Splits, make_splits
from tft.exams.splits import make_item

TAUGHT = {name: SkillCard(title=name) for name in ("add_2", "sub_2", "mul_2x1")}
TABLES = {name: SkillCard(title=name, role="retention") for name in ("add_1", "sub_1")}
SMALL = ExamsConfig(probe=8, check=16, final=32)


class Words:
    """A source of one skill with so many questions, drawn for ever or once."""

    def __init__(self, count: int, *, ends: bool) -> None:
        self._count = count
        self._ends = ends

    def draw(self, skill: str, rng: random.Random) -> Iterator[str]:
        while True:
            yield from rng.sample([f"{skill} {number}" for number in range(self._count)], self._count)
            if self._ends:
                return

    def classify(self, question: str) -> tuple[str, int, str] | None:
        return (question.split()[0], 1, "yes") if " " in question else None

    def fingerprint(self, question: str) -> str:
        return question.casefold()


def make(exams: ExamsConfig = SMALL, seed: int = 7) -> Splits:
    return make_splits(TAUGHT | TABLES, items, exams, seed)


def test_every_skill_gets_as_many_items_as_the_config_says() -> None:
    splits = make()
    for split, size in (("probe", 8), ("check", 16), ("final", 32)):
        for skill in TAUGHT:
            assert sum(item.skill == skill for item in splits.items[split]) == size


def test_splits_are_disjoint_by_what_is_asked() -> None:
    splits = make(ExamsConfig(probe=100, check=200, final=400))
    prints = [
        item.fingerprint
        for held in splits.items.values()
        for item in held
        if item.skill not in splits.examined_whole
    ]  # fmt: skip
    assert len(prints) == len(set(prints)) == 3 * 700
    assert set(prints) == splits.fingerprints()


def test_an_item_carries_what_its_source_says() -> None:
    for item in make().items["final"]:
        assert (item.skill, item.level, item.reference) == items.classify(item.question)
        assert item.fingerprint == items.fingerprint(item.question)
        assert item.source == "curriculum"


def test_a_table_is_examined_whole_every_time_and_may_be_taught() -> None:
    splits = make()
    assert splits.examined_whole == ("add_1", "sub_1")
    for held in splits.items.values():
        assert len({item.question for item in held if item.skill == "add_1"}) == 100
        assert len({item.question for item in held if item.skill == "sub_1"}) == 55
    assert not splits.fingerprints() & {items.fingerprint(f"{a}+{b}") for a in range(10) for b in range(10)}


def test_a_table_that_is_longer_than_the_exams_is_split_like_any_other() -> None:
    splits = make_splits(TABLES, items, ExamsConfig(probe=8, check=8, final=8), 7)
    assert splits.examined_whole == ()
    assert len(splits.fingerprints()) == 2 * 24


def test_the_same_seed_gives_the_same_items_and_another_one_others() -> None:
    assert make(seed=7) == make(seed=7)
    assert make(seed=7).fingerprints() != make(seed=8).fingerprints()


def test_one_skill_s_items_do_not_depend_on_the_others() -> None:
    alone = make_splits({"sub_2": TAUGHT["sub_2"]}, items, SMALL, 7)
    together = [item for item in make().items["check"] if item.skill == "sub_2"]
    assert alone.items["check"] == tuple(together)


@pytest.mark.parametrize("ends", [True, False])
def test_a_taught_skill_with_too_few_items_is_the_user_s_to_mend(ends: bool) -> None:
    # 56 are held back; with 56 in all none would be left to teach.
    skills = {"word": SkillCard(title="word")}
    for count in (20, 56):
        with pytest.raises(UserError) as raised:
            make_splits(skills, Words(count, ends=ends), SMALL, 7)
        (problem,) = raised.value.problems
        assert problem.key == "exams"
        assert f"word has only {count} different items, too few to hold 56 back" in problem.message
        assert problem.remedy is not None and "exams.final" in problem.remedy
    assert len(make_splits(skills, Words(57, ends=ends), SMALL, 7).fingerprints()) == 56


def test_too_few_items_are_counted_without_their_order() -> None:
    # Ninety numbers times ten: 900 products, twice as many questions.
    with pytest.raises(UserError, match="mul_2x1 has only 900 different items"):
        make_splits({"mul_2x1": TAUGHT["mul_2x1"]}, items, ExamsConfig(probe=300, check=300, final=400), 7)


def test_a_question_that_its_own_source_cannot_place_is_an_error() -> None:
    with pytest.raises(UserError, match="cannot classify") as raised:
        make_item("word", Words(1, ends=True))
    assert raised.value.problems[0].value == "word"


def test_what_was_taught_before_examines_nobody() -> None:
    before = make()
    taught = {it.fingerprint for it in before.items["final"] if it.skill == "add_2"}
    after = make_splits(TAUGHT | TABLES, items, SMALL, 7, taught)
    assert len(taught) == 32 and not taught & after.fingerprints()
    assert sum(it.skill == "add_2" for it in after.items["final"]) == 32
    assert [it for it in after.items["final"] if it.skill == "sub_2"] == [
        it for it in before.items["final"] if it.skill == "sub_2"
    ]


def test_a_table_is_examined_whole_whatever_was_taught() -> None:
    taught = {it.fingerprint for it in make().items["final"] if it.skill == "add_1"}
    assert make_splits(TABLES, items, SMALL, 7, taught).items == make_splits(TABLES, items, SMALL, 7).items


def test_a_skill_of_which_all_was_taught_cannot_be_taught_again() -> None:
    with pytest.raises(UserError, match="too few"):
        make_splits(
            {"word": SkillCard(title="words")}, Words(100, ends=False), SMALL, 7, {f"word {it}" for it in range(50)}
        )
