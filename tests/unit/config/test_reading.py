from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from tft.config import CampaignConfig, CurriculumCard, read_config
from tft.config.reading import closest, diagnose, parse_config, read_yaml, set_value
from tft.errors import Problem, UserError

if TYPE_CHECKING:
    from pathlib import Path

SOUND: dict[str, Any] = {
    "campaign": "c",
    "tutor": "abacus",
    "students": [{"id": "ada", "model": "m"}, {"id": "blaise", "model": "m"}],
    "curriculum": "arithmetic",
}


def problems(values: dict[str, Any], model: Any = CampaignConfig) -> dict[str | None, Problem]:
    with pytest.raises(UserError) as raised:
        parse_config(model, values, "f.yaml")
    return {problem.key: problem for problem in raised.value.problems}


def test_an_unknown_key_is_answered_with_the_one_that_was_meant() -> None:
    problem = problems({**SOUND, "tuition": {"cycle": 3}})["tuition.cycle"]
    assert (problem.message, problem.value, problem.file) == ("unknown key", "3", "f.yaml")
    assert problem.remedy is not None and problem.remedy.startswith("did you mean cycles? known: ")


@pytest.mark.parametrize(("adapter", "key", "value"), [
    ({"type": "lora", "rr": 3}, "students.0.adapter.rr", "3"),
    ({"type": "lora", "r": "many"}, "students.0.adapter.r", "many"),
    ({"type": "lora", "targets": 3}, "students.0.adapter.targets", "3"),
    ({"type": "lorra"}, "students.0.adapter.type", "lorra"),
    ("lorra", "students.0.adapter.type", "lorra"),
    ({}, "students.0.adapter", "{}"),
])  # fmt: skip
def test_keys_are_those_of_the_file_without_the_tags_of_a_union(adapter: object, key: str, value: str) -> None:
    found = problems({**SOUND, "students": [{"id": "ada", "model": "m", "adapter": adapter}]})
    assert {it.key: it.value for it in found.values()} == {key: value}
    assert all(it.remedy for it in found.values())


def test_a_missing_key_says_what_it_is_for() -> None:
    problem = problems({key: value for key, value in SOUND.items() if key != "curriculum"})["curriculum"]
    assert (problem.message, problem.value) == ("is required", None)
    assert problem.remedy is not None and "What there is to learn" in problem.remedy


def test_a_list_whose_entries_are_refused_is_not_called_empty() -> None:
    assert set(problems({**SOUND, "students": [{"id": "ada"}]})) == {"students.0.model"}
    assert set(problems({**SOUND, "students": []})) == {"students"}


@pytest.mark.parametrize(("values", "key", "message"), [
    ({"campaign": "No Name"}, "campaign", "may hold only lower-case letters"),
    ({"exams": 3}, "exams", "must be a mapping of keys to values"),
    ({"students": "ada"}, "students", "must be a list"),
    ({"seed": 1.5}, "seed", "must be a whole number"),
    ({"budget": {"tutor_tokens": 0}}, "budget.tutor_tokens", "must be greater than 0"),
    ({"budget": {"tutor_tokens": "2 million"}}, "budget.tutor_tokens", "write a number such as 250000, 250k or 2M"),
        (
            {"tuition": {"methods": "all"}},
            "tuition.methods",
            "must be 'auto', 'demonstration', 'critique', 'self_training'",
        ),
])  # fmt: skip
def test_messages_are_in_the_words_of_the_file(values: dict[str, Any], key: str, message: str) -> None:
    problem = problems({**SOUND, **values})[key]
    assert problem.message.startswith(message)
    assert problem.remedy


def test_students_of_the_same_id_are_refused_at_the_second() -> None:
    found = problems({**SOUND, "students": [{"id": "ada", "model": "m"}] * 3})
    assert {it.key: it.value for it in found.values()} == {"students.1.id": "ada", "students.2.id": "ada"}


def card(**skills: Any) -> dict[str, Any]:
    return {"curriculum": "c", "description": "d", "items": "i.py", "grader": "exact", "skills": skills}


def test_a_skill_cycle_is_shown_as_the_path_it_is() -> None:
    found = problems(
        card(
            a={"title": "t", "needs": ["b"]},
            b={"title": "t", "needs": ["c"]},
            c={"title": "t", "needs": ["b", "zz"]},
        ),
        CurriculumCard,
    )
    assert {it.key: it.value for it in found.values()} == {"skills.b.needs": "b → c → b", "skills.c.needs.1": "zz"}


def test_diagnosis_finds_a_cycle_behind_other_mistakes() -> None:
    values = {**card(a={"title": "t", "needs": ["a"], "rol": 1}, b={"needs": []}), "itms": 3}
    model, found = diagnose(CurriculumCard, values, "f.yaml")
    assert {it.key for it in found} == {"itms", "skills.a.rol", "skills.b.title", "skills.a.needs"}
    assert model is not None
    assert set(model.skills) == {"a"}


def test_diagnosis_goes_on_with_defaults_in_place_of_mistakes() -> None:
    values = {**SOUND, "tuition": {"cycles": "many", "mastery": 0.8}, "sed": 7}
    model, found = diagnose(CampaignConfig, values, "f.yaml")
    assert {it.key for it in found} == {"tuition.cycles", "sed"}
    assert model is not None
    assert (model.tuition.cycles, model.tuition.mastery) == (4, 0.8)
    assert values["sed"] == 7


@pytest.mark.parametrize(("override", "key", "value"), [
    ("seed=3", ("seed",), 3),
    ("tuition.cycles=2", ("tuition", "cycles"), 2),
    ("tutor.model=path:x", ("tutor",), {"use": "abacus", "model": "path:x"}),
    ("students.1.model=n", ("students", 1, "model"), "n"),
    ("skills=[a, b]", ("skills",), ["a", "b"]),
    ("training.optimizer.betas=[0, 0]", ("training", "optimizer"), {"type": "muon", "betas": [0, 0]}),
    ("training.objectives.reward.margin=1", ("training", "objectives", "reward"), {"type": "reward", "margin": 1}),
    ("training.objectives.practice.reward.scale=2", ("training", "objectives", "practice", "reward"),
     {"model": "path:r", "scale": 2}),
    ("exams.examiner.repairs=0", ("exams", "examiner"), {"model": "m", "repairs": 0}),
    ("material.0.share=1", ("material", 0), {"path": "rows.csv", "share": 1}),
    ("tracking.0.mode=offline", ("tracking", 0), {"type": "wandb", "mode": "offline"}),
    ("cluster.type=inline", ("cluster", "type"), "inline"),
    ("budget.hours=null", ("budget", "hours"), None),
])  # fmt: skip
def test_overrides_set_one_value(override: str, key: tuple[Any, ...], value: object) -> None:
    objectives = {"reward": "reward", "practice": {"type": "ppo", "reward": "path:r"}}
    place: Any = deepcopy(SOUND) | {
        "training": {"optimizer": "muon", "objectives": objectives}, "exams": {"examiner": "m"},
        "material": ["rows.csv"], "tracking": ["wandb"],
    }  # fmt: skip
    set_value(place, override)
    for part in key:
        place = place[part]
    assert place == value


@pytest.mark.parametrize("override", ["seed", "=3", "seed=[", "students.9.model=x", "students.ada=3", "a=2024-13-45"])
def test_overrides_that_lead_nowhere_are_refused_with_a_remedy(override: str) -> None:
    with pytest.raises(UserError) as raised:
        set_value({**SOUND}, override)
    (problem,) = raised.value.problems
    assert problem.key is not None and problem.key.startswith("--set") and problem.remedy


@pytest.mark.parametrize("text", ["a: [", "- a", "just text", "", "when: 2024-13-45", "[" * 5000, "\t- a: b"])
def test_what_is_no_yaml_mapping_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        read_yaml(path)
    assert raised.value.problems[0].file == str(path)
    assert raised.value.problems[0].remedy


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    for name in ("nowhere.yaml", "bytes.yaml", ""):
        with pytest.raises(UserError):
            read_config(CampaignConfig, tmp_path / name)


def test_closest_without_anything_near() -> None:
    assert closest("zzz", ["abacus"]) == "known: abacus"
    assert closest("zzz", []) == "none are known"


def test_what_cannot_go_together_is_refused_where_it_stands() -> None:
    student = {"id": "ada", "model": "m"}
    prefixed = {"students": [{**student, "adapter": "prefix"}], "training": {"checkpoint_activations": True}}
    found = problems({**SOUND, **prefixed})
    assert "keys and values would be left out" in found["students.0.adapter"].message
    found = problems({**SOUND, "students": [{**student, "adapter": {"type": "peft", "method": "ADALORA"}}]})
    assert "allocates its ranks" in found["students.0.adapter.method"].message
    found = problems({**SOUND, "training": {"objectives": {"practice": "supervised", "answers": "mine"}}})
    assert set(found) == {"training.objectives.practice"}
    assert found["training.objectives.practice"].remedy == "known: grpo, rloo, ppo"
