from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tft.records import (
    Answered,
    Attempt,
    Checkpoint,
    Curated,
    Example,
    Item,
    Lesson,
    LessonKind,
    Lineage,
    Message,
    Offered,
    Rejection,
    Sitting,
    Usage,
    Verdict,
    digest,
    dump,
    load,
)

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
shares = st.floats(0, 1)
counts = st.integers(0, 10**12)


def several(strategy: st.SearchStrategy) -> st.SearchStrategy:  # type: ignore[type-arg]
    return st.lists(strategy, max_size=3).map(tuple)


items = st.builds(Item, texts, st.integers(0, 9), texts, st.none() | texts, texts, texts, several(texts))
verdicts = st.builds(Verdict, shares, texts, texts)
attempts = st.builds(Attempt, items, texts, counts, st.none() | shares, st.booleans())
sittings = st.builds(Sitting, texts, several(st.builds(Answered, attempts, verdicts)), st.booleans(), st.none() | texts)
messages = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), texts)
lineages = st.builds(
    Lineage, texts, texts, st.dictionaries(texts, texts, max_size=2), several(texts), several(texts)
)  # fmt: skip
lessons = st.builds(
    Lesson, texts, st.sampled_from(get_args(LessonKind)), items, several(st.builds(Example, several(messages))), texts,
    lineages, st.none() | texts, st.none() | texts, several(verdicts),
)  # fmt: skip
usages = st.builds(Usage, counts, counts, counts, counts, counts)
rejections = st.builds(Rejection, texts, texts, texts, texts)


@given(lessons)
def test_a_lesson_comes_back_from_json_as_it_was(lesson: Lesson) -> None:
    written = json.dumps(dump(lesson))
    assert load(Lesson, json.loads(written)) == lesson
    assert dump(load(Lesson, json.loads(written))) == dump(lesson)


@given(sittings, st.builds(Offered, several(lessons), several(rejections), usages))
def test_so_does_what_holds_others(sitting: Sitting, offered: Offered) -> None:
    assert load(Sitting, json.loads(json.dumps(dump(sitting)))) == sitting
    assert load(Offered, json.loads(json.dumps(dump(offered)))) == offered
    curated = Curated(offered.lessons, offered.rejections)
    assert load(Curated, json.loads(json.dumps(dump(curated)))) == curated


@given(lessons)
def test_a_container_is_carried_by_its_kind(lesson: Lesson) -> None:
    assert load(list[Lesson], json.loads(json.dumps(dump([lesson], list[Lesson])))) == [lesson]


def test_what_was_not_measured_stays_none() -> None:
    checkpoint = Checkpoint("", "")
    assert dump(checkpoint)["loss_first"] is None
    assert load(Checkpoint, dump(checkpoint)) == checkpoint


@pytest.mark.parametrize("values", [{}, {"path": "p"}, {"path": "p", "digest": 7}, [], None])
def test_what_does_not_fit_is_refused(values: object) -> None:
    with pytest.raises(ValidationError):
        load(Checkpoint, values)


def test_records_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Verdict(1.0, "is right", "numeric").score = 0.0  # type: ignore[misc]


def test_only_a_full_score_passes() -> None:
    assert [Verdict(score, "", "").passed for score in (0.0, 0.999, 1.0)] == [False, False, True]


@given(usages, usages)
def test_usage_adds_up(one: Usage, other: Usage) -> None:
    both = one + other
    assert both.total == one.total + other.total == both.prompt + both.completion + both.scored
    assert (both.cached, both.requests) == (one.cached + other.cached, one.requests + other.requests)
    assert one + Usage() == one


def test_a_digest_names_the_content_and_not_its_order() -> None:
    assert digest({"a": 1, "b": [2, "ü"]}) == digest({"b": [2, "ü"], "a": 1})
    assert digest([1, 2]) != digest([2, 1])
    assert digest(["1"]) != digest([1])
    # Written into ledgers and caches: it must not change from one version to the next.
    assert digest({"a": [1, None, "ü"]}) == "49831c0eb57c0eb0056d765e"
