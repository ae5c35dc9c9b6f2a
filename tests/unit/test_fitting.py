"""What a model cannot do because of how it is built is said before anything is taught."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.encoders import build_encoder
from tests.halves import build
from tests.thinking import QUIET, TEMPLATE, build_thinker
from tft.config import CampaignConfig, read_config
from tft.errors import UserError
from tft.fitting import list_switches, read_build, read_dropout, read_template
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


def test_two_halves_are_not_parted_into_shards(t5: Path, tmp_path: Path) -> None:
    students = [{"id": "tess", "model": f"path:{t5}"}, {"id": "ada", "model": "abacus/novice-a"}]
    for parallel, found in (("ddp", []), ("fsdp", [("students.0.model", f"path:{t5}")])):
        path = write(tmp_path, students=students, training={"workers": 2, "parallel": parallel})
        assert refused(path) == found


@pytest.mark.parametrize(("template", "switches"), [
    (TEMPLATE, {"enable_thinking"}),
    ("{% if loud is not defined %}{% set loud = true %}{% endif %}{{ loud }}", {"loud"}),
    ("{% set loud = false %}\n{{ loud }}{{ bos_token }}{{ additional_special_tokens }}{{ strftime_now('%d') }}", set()),
    ("{%- generation -%}{% for it in messages %}{% continue %}{% endfor %}{{ tools }}{%- endgeneration -%}", set()),
    ("plain", set()),
])  # fmt: skip
def test_the_switches_of_a_template_are_what_it_wants_to_know(template: str, switches: set[str]) -> None:
    assert list_switches(template) == switches


def test_a_template_is_found_wherever_a_model_keeps_it(novice: Path, t5: Path, tmp_path: Path) -> None:
    assert read_template(str(novice)) == (novice / "chat_template.jinja").read_text()
    assert read_template(str(t5)) is None and read_template(str(tmp_path)) is None
    told = tmp_path / "tokenizer_config.json"
    for template, found in (
        ("one", "one"),
        ([{"name": "tool_use", "template": "two"}, {"name": "default", "template": "one"}], "one"),
        ([{"name": "tool_use", "template": "two"}], None),
    ):
        told.write_text(json.dumps({"chat_template": template}))
        assert read_template(str(tmp_path)) == found


def test_switches_that_a_template_has_are_set_before_a_campaign(novice: Path, tmp_path: Path) -> None:
    thinker = build_thinker(tmp_path / "thinker", novice)
    students = [{"id": "ada", "model": f"path:{thinker}", "template": QUIET}, {"id": "bea", "model": f"path:{thinker}"}]
    path = write(tmp_path, students=students)
    assert refused(path) == []
    prepared = prepare(read_config(CampaignConfig, path), Library(tmp_path), tmp_path / "run")
    set_to = [it.chat_template for it in prepared.students]
    assert set_to == [f"{{% set enable_thinking = False %}}\n{TEMPLATE}", None]
    assert prepared.identity()["config"]["students"][0]["template"] == QUIET


def test_switches_that_a_template_has_not_are_refused(novice: Path, tmp_path: Path) -> None:
    thinker = f"path:{build_thinker(tmp_path / 'thinker', novice)}"
    done = build_thinker(tmp_path / "done", novice)
    (done / "chat_template.jinja").write_text("{% set enable_thinking = False %}\n" + TEMPLATE)
    students = [
        {"id": "ada", "model": thinker, "template": {"enable_thinkng": False, "messages": []}},
        {"id": "bea", "model": thinker, "template": {"chat_template": "plain"}},
        {"id": "cora", "model": thinker, "chat_template": "plain", "template": QUIET},
        {"id": "dora", "model": f"path:{done}", "template": QUIET},
        {"id": "emmy", "model": thinker, "chat_template": "{% if %}", "template": QUIET},
        {"id": "fay", "model": f"path:{build_encoder(tmp_path / 'bert')}", "template": QUIET,
         "adapter": {"type": "head", "task": "classifier"}},
    ]  # fmt: skip
    path = write(tmp_path, students=students)
    assert refused(path) == [
        ("students.0.template", "enable_thinkng"), ("students.0.template", "messages"),
        ("students.1.template", "chat_template"), ("students.2.template", "enable_thinking"),
        ("students.3.template", "enable_thinking"), ("students.4.template", None), ("students.5.template", None),
    ]  # fmt: skip
    meant, _, elsewhere, *_, broken, bare = validate(path).problems
    assert meant.remedy == "did you mean enable_thinking? known: enable_thinking"
    assert elsewhere.remedy == "write it as students.1.chat_template"
    assert "does not work" in broken.message and "brings no chat template" in bare.message


def test_an_encoder_decoder_tutor_answers_but_is_not_asked_for_probabilities(t5: Path, tmp_path: Path) -> None:
    tutor = {"use": "abacus", "model": f"path:{t5}"}
    assert refused(write(tmp_path, tutor=tutor)) == []
    assert refused(write(tmp_path, tutor=tutor, tuition={"methods": "feedback"})) == [("tuition.methods", "feedback")]


def test_vllm_runs_no_encoder_decoder_tutor(t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tft.validation.content.find_spec", lambda _: True)
    path = write(tmp_path, tutor={"use": "abacus", "model": f"path:{t5}", "engine": "vllm"})
    assert refused(path) == [("tutor.engine.type", "vllm")]
