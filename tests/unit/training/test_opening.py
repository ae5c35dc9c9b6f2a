"""What does not fit a student is found when it is opened, and not when its first lessons have been paid for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.encoders import build_encoder
from tests.learning import spell_bytes
from tft.config.adapters import Adapter, AnyAdapter
from tft.config.training import DistillationConfig
from tft.errors import StageError, UserError
from tft.library import fingerprint_model
from tft.student import StudentRef
from tft.training import OpenRequest, open_once
from tft.training.distillation import refuse_tokens
from tft.tutor import Scorer
from tft.validation import validate

pytestmark = pytest.mark.usefixtures("one_thread")


def adapter(value: Any) -> AnyAdapter:
    made: AnyAdapter = TypeAdapter(Adapter).validate_python(value)
    return made


@pytest.mark.parametrize("value", [
    "full", "lora", "prefix", "prompt", "bottleneck", {"type": "peft", "method": "IA3"},
    {"type": "head", "task": "classifier"}, {"type": "head", "task": "reward", "body": "lora"},
])  # fmt: skip
def test_a_student_that_fits_is_opened(value: Any, ada: StudentRef) -> None:
    assert open_once(OpenRequest(replace(ada, adapter=adapter(value)))).weights > 0


def test_an_encoder_with_a_head_is_opened(tmp_path: Path) -> None:
    folder = str(build_encoder(tmp_path))
    student = StudentRef("bea", folder, fingerprint_model(folder), adapter({"type": "head", "task": "regressor"}))
    assert open_once(OpenRequest(student)).weights > 0


@pytest.mark.parametrize(("value", "told"), [
    ({"type": "lora", "targets": ["nothing"]}, "nothing"),
    ({"type": "peft", "method": "IA4"}, "IA3"),
    ({"type": "peft", "method": "IA3", "options": {"rank": 3}}, "rank"),
])  # fmt: skip
def test_an_adapter_that_does_not_fit_is_found(value: Any, told: str, ada: StudentRef) -> None:
    with pytest.raises(UserError, match=told):
        open_once(OpenRequest(replace(ada, adapter=adapter(value))))


def test_a_template_that_asks_in_another_way_is_found(ada: StudentRef) -> None:
    template = "{% for it in messages %}{{ it['content'] }}{% endfor %}{% if add_generation_prompt %}?{% endif %}"
    with pytest.raises(StageError, match=r"students\.chat_template"):
        open_once(OpenRequest(replace(ada, chat_template=template)))


class Bytes(Scorer):
    """A tutor that writes in bytes."""

    def __init__(self) -> None:
        class Engine:
            tokenizer = spell_bytes()

        class Tutor:
            engine = Engine()

        super().__init__(Tutor())  # type: ignore[arg-type]


def test_other_tokens_are_found(ada: StudentRef, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tft.training.opening.open_scorer", lambda *_: Bytes())
    tutor: Any = object()
    with pytest.raises(UserError, match=r"training\.objectives\.feedback\.divergence"):
        open_once(OpenRequest(ada, DistillationConfig(), tutor))
    assert open_once(OpenRequest(ada, DistillationConfig(divergence="sampled"), tutor)).weights > 0


def test_validation_finds_them_too(tmp_path: Path, tokenizer: Any, novice: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in novice.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    spell_bytes().save_pretrained(other)
    config = tmp_path / "mine.yaml"
    config.write_text(json.dumps({
        "campaign": "mine", "tutor": "abacus", "curriculum": "arithmetic", "tuition": {"methods": "feedback"},
        "students": [{"id": "ada", "model": "abacus/novice-a"}, {"id": "bea", "model": str(other)}],
    }))  # fmt: skip
    (problem,) = validate(config).problems
    assert (problem.key, problem.value) == ("training.objectives.feedback.divergence", "reverse_kl")
    assert "bea" in problem.message
    assert validate(config, ["training.objectives.feedback={type: distillation, divergence: sampled}"]).problems == ()
    # What it says of two files is what is said of the tokenizers.
    with pytest.raises(UserError):
        refuse_tokens(DistillationConfig(), Bytes(), tokenizer)
