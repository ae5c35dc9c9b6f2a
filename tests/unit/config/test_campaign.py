from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tft.config import CampaignConfig, CurriculumCard, SuiteCard, TutorCard, read_config
from tft.config.adapters import ClassifierTask, FullAdapter, HeadAdapter, LoraAdapter
from tft.config.reading import diagnose, parse_config
from tft.errors import UserError
from tft.library import shipped

if TYPE_CHECKING:
    from pathlib import Path

SOUND: dict[str, Any] = {
    "campaign": "c",
    "tutor": "abacus",
    "students": [{"id": "ada", "model": "m"}],
    "curriculum": "arithmetic",
}


def known_keys() -> list[str]:
    found = {"use", "marker"}
    for model in (CampaignConfig, CurriculumCard, SuiteCard, TutorCard):
        found |= set(model.model_fields)
        for field in model.model_fields.values():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                found |= set(field.annotation.model_fields)
    return sorted(found)


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(),
    st.sampled_from(["lora", "full", "ray", "inline", "2M", "1e400", "9" * 400, "auto", "transformers"]),
)  # fmt: skip
keys = st.one_of(st.sampled_from([*known_keys(), "type", "id", "model", "r"]), st.text(max_size=4), st.integers())
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
values = st.dictionaries(keys, anything, max_size=6)


@settings(max_examples=300, deadline=None)
@given(values, st.booleans(), st.sampled_from([CampaignConfig, CurriculumCard, SuiteCard, TutorCard]))
def test_any_mapping_either_validates_or_is_a_user_error(
    written: dict[Any, Any], complete: bool, model: type[BaseModel]
) -> None:
    whole = {**SOUND, **written} if complete else written
    try:
        parse_config(model, whole, "f.yaml")
    except UserError as error:
        assert error.problems
        assert all(problem.message and problem.file == "f.yaml" for problem in error.problems)
        assert diagnose(model, whole, "f.yaml")[1][: len(error.problems)] == list(error.problems)
    else:
        assert diagnose(model, whole, "f.yaml")[1] == []


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10**12))
def test_counts_are_read_to_the_last_digit(count: int) -> None:
    for text, value in (
        (count, count),
        (str(count), count),
        (f"{count}k", 1000 * count),
        (f"{count} M", 10**6 * count),
    ):
        config = parse_config(CampaignConfig, {**SOUND, "budget": {"tutor_tokens": text}}, "f")
        assert config.budget.tutor_tokens == value
    config = parse_config(CampaignConfig, {**SOUND, "budget": {"tutor_tokens": "1.5k"}}, "f")
    assert config.budget.tutor_tokens == 1500


def test_short_forms_mean_the_long_ones() -> None:
    short = parse_config(
        CampaignConfig, {**SOUND, "cluster": "inline", "tutor": {"use": "t", "engine": "transformers"}}, "f"
    )
    assert short.cluster.type == "inline"
    assert short.tutor.engine is not None and short.tutor.engine.batch_size == 512
    (full,) = short.students
    assert full.adapter == FullAdapter()
    lora = parse_config(CampaignConfig, {**SOUND, "students": [{"id": "a", "model": "m", "adapter": "lora"}]}, "f")
    assert lora.students[0].adapter == LoraAdapter()


def test_a_config_survives_being_written_and_read() -> None:
    config = parse_config(CampaignConfig, SOUND, "f")
    assert parse_config(CampaignConfig, config.model_dump(mode="json"), "f") == config


def test_switches_of_a_template_are_what_json_can_say() -> None:
    plain, dated = ({**SOUND["students"][0], "template": {"date_string": it}} for it in ("26 July", date(2024, 7, 26)))
    config = parse_config(CampaignConfig, {**SOUND, "students": [plain]}, "f")
    assert config.students[0].template == {"date_string": "26 July"}
    with pytest.raises(UserError, match=r"students\.0\.template\.date_string: must be text, .*; a date is quoted"):
        parse_config(CampaignConfig, {**SOUND, "students": [dated]}, "f")


@pytest.mark.parametrize(("setting", "counts"), [
    ({"seed": 1}, True),
    ({"students": [{"id": "ada", "model": "m", "template": {"enable_thinking": False}}]}, True),
    ({"threads": {"student": 2}}, True),
    ({"exams": {"final": 9}}, True),
    ({"tuition": {"mastery": 0.5}}, True),
    ({"tuition": {"cycles": 9}}, False),
    ({"budget": {"tutor_tokens": "9M"}}, False),
    ({"cluster": "inline"}, False),
    ({"cache": "elsewhere"}, False),
])  # fmt: skip
def test_only_what_changes_the_result_belongs_to_the_identity(setting: dict[str, Any], counts: bool) -> None:
    plain = parse_config(CampaignConfig, SOUND, "f").identity()
    assert (parse_config(CampaignConfig, {**SOUND, **setting}, "f").identity() != plain) is counts


@pytest.mark.parametrize("path", sorted((shipped() / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_config_is_sound_and_begins_with_its_command(path: Path) -> None:
    config = read_config(CampaignConfig, path)
    assert config.campaign == path.stem
    assert path.read_text().startswith(f"# tft run configs/{path.name}\n")


def headed(adapter: dict[str, Any], **more: Any) -> CampaignConfig:
    student = {"id": "a", "model": "m", "adapter": {"type": "head", **adapter}}
    return parse_config(CampaignConfig, {**SOUND, "students": [student], **more}, "f")


def test_a_head_is_named_by_its_task() -> None:
    made = headed({"task": "classifier", "body": "lora"}).students[0].adapter
    assert isinstance(made, HeadAdapter)
    assert made.task == ClassifierTask() and made.body == LoraAdapter() and made.layers == 1
    long = headed({"task": {"type": "reward", "best_of": 8}, "body": {"type": "lora", "r": 4}})
    assert long.students[0].adapter.task.best_of == 8  # type: ignore[union-attr]
    assert parse_config(CampaignConfig, long.model_dump(mode="json"), "f") == long


@pytest.mark.parametrize(
    ("adapter", "key"),
    [
        ({}, "students.0.adapter.task"),
        ({"task": "poet"}, "students.0.adapter.task.type"),
        ({"task": {"type": "classifier", "best_of": 2}}, "students.0.adapter.task.best_of"),
        ({"task": "reward", "body": "prefix"}, "students.0.adapter.body.type"),
        ({"task": {"type": "classifier", "labels": []}}, "students.0.adapter.task.labels"),
    ],
)
def test_what_is_wrong_with_a_head_is_said_where_it_stands(adapter: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError) as caught:
        headed(adapter)
    assert [problem.key for problem in caught.value.problems] == [key]


@pytest.mark.parametrize(
    ("task", "methods", "remedy"),
    [
        ("classifier", "critique", "demonstration"),
        ("regressor", "practice", "demonstration"),
        ("classifier", "preference", "demonstration"),
        ("reward", "demonstration", "preference"),
        ("reward", "feedback", "preference"),
    ],
)
def test_a_head_refuses_what_it_cannot_learn_from(task: str, methods: str, remedy: str) -> None:
    with pytest.raises(UserError) as caught:
        headed({"task": task}, tuition={"methods": methods})
    (problem,) = caught.value.problems
    assert problem.key == "students.0.adapter.task" and problem.value == task
    assert methods in problem.message and f"tuition.methods to {remedy}" in str(problem.remedy)
    for fit in ("auto", remedy):
        assert headed({"task": task}, tuition={"methods": fit}).tuition.methods == fit


def test_objectives_of_heads_are_those_of_their_tasks() -> None:
    for task, wrong in (("classifier", "regression"), ("regressor", "supervised"), ("reward", "dpo")):
        with pytest.raises(UserError, match="cannot learn from lessons of this kind"):
            headed({"task": task}, training={"objectives": {task: wrong}})
    practice = {"practice": {"type": "rloo", "reward": "runs/x/students/rm/final"}}
    made = headed({"task": "reward"}, training={"objectives": practice}).training.objectives.practice
    assert made.reward.model == "runs/x/students/rm/final"  # type: ignore[union-attr]
