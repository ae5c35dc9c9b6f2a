from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tft.config.cards import GraderConfig
from tft.graders import grade_attempts, make_grader
from tft.graders.constraints import RULES
from tft.records import Item

GRADER = make_grader(GraderConfig(type="constraints"))


def item(**rules: object) -> Item:
    return Item("story", 1, "Go on.", json.dumps(rules), "f", "here")


@pytest.mark.parametrize(("rules", "kept", "broken"), [
    ({"includes": "dog"}, "A Dog ran.", "The dogma fell."),
    ({"includes": "New York"}, "In new york it rains.", "A new dog in York."),
    ({"includes": "well-known"}, "A well-known dog.", "Well, it is known."),
    ({"excludes": "cat"}, "Cats are many.", "One cat."),
    ({"starts_with": "Once"}, " Once more.", "At once."),
    ({"ends_with": "."}, "It ran. ", "It ran"),
    ({"least_words": 3}, "one two three", "one two"),
    ({"most_words": 2}, "one two", "one two three"),
    ({"most_sentences": 2}, "It ran. It fell!", "It ran. It fell. It rose."),
    ({"most_words_a_sentence": 3}, "It ran far. It fell.", "It ran far away."),
    ({"matches": r"\d{2}"}, "It was 12.", "It was 1."),
])  # fmt: skip
def test_each_rule(rules: dict[str, object], kept: str, broken: str) -> None:
    assert GRADER.grade(item(**rules), kept).passed
    verdict = GRADER.grade(item(**rules), broken)
    assert not verdict.passed
    assert next(iter(rules)) in verdict.reason


def test_the_score_is_the_share_of_rules_kept() -> None:
    assert GRADER.grade(item(includes="dog", ends_with=".", most_words=2), "A dog ran.").score == pytest.approx(2 / 3)
    assert GRADER.grade(item(most_words=9), " ").reason == "is empty"


@pytest.mark.parametrize(("reference", "told"), [
    (None, "names no rules"), ("no JSON", "names no rules"), ("[1]", "names no rules"), ("{}", "no rule at all"),
    ('{"rhymes": "cat"}', "no rule rhymes; known: includes"), ('{"matches": "("}', "cannot be checked"),
    ('{"most_words": "six"}', "cannot be checked"),
])  # fmt: skip
def test_a_reference_that_is_wrong_is_a_verdict(reference: str | None, told: str) -> None:
    verdict = GRADER.grade(Item("story", 1, "Go on.", reference, "f", "here"), "A dog.")
    assert verdict.score == 0
    assert told in verdict.reason


@given(st.sampled_from(sorted(RULES)), st.one_of(st.text(max_size=8), st.integers()), st.text(max_size=60))
def test_no_rule_and_no_text_raises(rule: str, value: object, text: str) -> None:
    assert 0 <= GRADER.grade(item(**{rule: value}), text).score <= 1


@pytest.mark.parametrize("cut_off", [False, True])
def test_what_was_cut_off_is_graded_only_if_the_card_says_so(cut_off: bool) -> None:
    grade = grade_attempts(GraderConfig(type="constraints", cut_off=cut_off))
    assert grade(item(includes="dog"), "a dog", True).passed
    assert grade(item(includes="dog"), "a dog", False).passed is cut_off
