"""What a model cannot do because of how it is built is said before anything is taught."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.halves import build
from tft.config import CampaignConfig, read_config
from tft.errors import UserError
from tft.fitting import read_build, read_dropout
from tft.library import Library
from tft.preparation import prepare
from tft.validation import validate


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("t5"))


def write(folder: Path, **changes: Any) -> Path:
    campaign = {
        "campaign": "halves",
        "tutor": "abacus",
        "students": [{"id": "ada", "model": "abacus/novice-a"}],
        "curriculum": "arithmetic",
        "skills": ["add_1", "add_2"],
        "exams": {"probe": 8, "check": 8, "final": 8},
        **changes,
    }
    path = folder / "halves.yaml"
    path.write_text(yaml.safe_dump(campaign))
    return path


def refused(path: Path) -> list[tuple[str | None, str | None]]:
    """Give what is refused before a campaign, which ``tft run`` refuses as well."""
    found = validate(path).problems
    if found:
        with pytest.raises(UserError) as raised:
            prepare(read_config(CampaignConfig, path), Library(path.parent), path.parent / "run")
        assert [it.message for it in raised.value.problems] == [it.message for it in found]
    return [(it.key, it.value) for it in found]


def test_the_parts_of_a_model_are_read_in_its_config(t5: Path, novice: Path, tmp_path: Path) -> None:
    assert read_build(str(t5)) == "encoder_decoder"
    assert read_build(str(novice)) == "decoder"
    assert read_build(str(tmp_path)) == "decoder"
    (tmp_path / "config.json").write_text("[]")
    assert read_build(str(tmp_path)) == "decoder"


def test_who_has_no_seat_in_the_classroom_is_said_before_a_campaign(t5: Path, tmp_path: Path) -> None:
    config = json.loads((t5 / "config.json").read_text())
    chancy = tmp_path / "chancy"
    shutil.copytree(t5, chancy)
    (chancy / "config.json").write_text(json.dumps({**config, "dropout_rate": 0.1}))
    assert (read_dropout(str(t5)), read_dropout(str(chancy)), read_dropout(str(tmp_path))) == (0.0, 0.1, 0.0)
    them = (("tess", chancy, "lora"), ("uma", t5, "lora"), ("vera", chancy, "full"))
    students = [{"id": name, "model": str(model), "adapter": adapter} for name, model, adapter in them]
    seated, apart = (
        [it for it in validate(write(tmp_path, students=students, training={"classroom": it})).warnings
         if (it.key or "").startswith("students")]
        for it in (True, False)
    )  # fmt: skip
    (warning,) = seated
    assert warning.key == "students.0.model"
    assert "dropout of 0.1, so tess is trained alone" in warning.message
    assert not apart


@pytest.mark.parametrize("adapter", ["full", "lora", {"type": "lora", "dora": True}, "bottleneck",
                                     {"type": "peft", "method": "IA3"}], ids=str)  # fmt: skip
def test_an_encoder_decoder_student_may_learn_by_most_adapters(adapter: Any, t5: Path, tmp_path: Path) -> None:
    assert refused(write(tmp_path, students=[{"id": "tess", "model": f"path:{t5}", "adapter": adapter}])) == []


def test_but_not_by_what_stands_before_every_prompt(t5: Path, tmp_path: Path) -> None:
    students = [
        {"id": "tess", "model": f"path:{t5}", "adapter": "prefix"},
        {"id": "ada", "model": "abacus/novice-a", "adapter": "prefix"},
        {"id": "tom", "model": f"path:{t5}", "adapter": {"type": "prompt", "tokens": 4}},
    ]
    path = write(tmp_path, students=students)
    assert refused(path) == [("students.0.adapter", "prefix"), ("students.2.adapter", "prompt")]
    problem = validate(path).problems[0]
    assert "reads in both directions" in problem.message and "lora" in (problem.remedy or "")
    assert problem.file == str(path)


def test_an_encoder_decoder_tutor_answers_but_is_not_asked_for_probabilities(t5: Path, tmp_path: Path) -> None:
    tutor = {"use": "abacus", "model": f"path:{t5}"}
    assert refused(write(tmp_path, tutor=tutor)) == []
    assert refused(write(tmp_path, tutor=tutor, tuition={"methods": "feedback"})) == [("tuition.methods", "feedback")]


def test_vllm_runs_no_encoder_decoder_tutor(t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tft.validation.content.find_spec", lambda _: True)
    path = write(tmp_path, tutor={"use": "abacus", "model": f"path:{t5}", "engine": "vllm"})
    assert refused(path) == [("tutor.engine.type", "vllm")]
