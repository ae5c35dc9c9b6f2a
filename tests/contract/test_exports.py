"""What a student has learned, used without this package: in plain PEFT, and merged in plain transformers and vLLM."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import items
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from tests.chat import build_base_model
from tests.encoders import build_encoder
from tests.making import demonstration
from tests.remote import VLLM, elsewhere, needs_vllm
from tests.thinking import NOTHING, QUIET, build_thinker
from tft.config.adapters import (
    BottleneckAdapter,
    FullAdapter,
    HeadAdapter,
    LoraAdapter,
    PeftAdapter,
    PrefixAdapter,
    PromptAdapter,
)
from tft.config.training import TrainingConfig
from tft.engines import transformers as engines
from tft.errors import UserError
from tft.examination import examine, find_student
from tft.exporting import export_student
from tft.library import Library, fingerprint_model
from tft.ports import Sampling
from tft.records import Message
from tft.student import StudentRef
from tft.student.models import open_reader, open_student
from tft.student.reading import encode_answered
from tft.student.saved import read_saved
from tft.student.template import with_switches
from tft.training import TrainRequest, train

if TYPE_CHECKING:
    from tft.config.adapters import AnyAdapter

pytestmark = pytest.mark.usefixtures("one_thread")
QUESTIONS = ("52-27", "81-46", "70-33")
LESSONS = tuple(demonstration(question) for question in islice(items.draw("sub_2", Random(1)), 32))
MERGED: dict[str, AnyAdapter] = {
    "lora": LoraAdapter(r=8),
    "dora": LoraAdapter(r=8, dora=True),
    "rslora": LoraAdapter(r=8, rslora=True),
    "ia3": PeftAdapter(method="IA3"),
}
PROMPTED: dict[str, AnyAdapter] = {"prefix": PrefixAdapter(tokens=4), "prompt": PromptAdapter(tokens=4)}


def teach(student: StudentRef, adapter: AnyAdapter, run: Path) -> StudentRef:
    folder = run / "students" / "ada" / "final"
    config = TrainingConfig(epochs=3, batch_size=8, precision="full")
    made = train(TrainRequest(replace(student, adapter=adapter), LESSONS, config, 5e-3, 1.0, 3, str(folder)))
    return replace(student, adapter=adapter, checkpoint_path=str(folder), digest=made.digest)


def said(student: StudentRef) -> tuple[list[list[int]], list[str], list[list[float]]]:
    """Give what a student is asked, what it answers, and what it expected at the tokens of the right answers."""
    engine = open_student(student)
    prompts = [(Message("user", question),) for question in QUESTIONS]
    answers = [it.text for it in engine.generate(prompts, Sampling(32))]
    rows = [[*head, *engine.tokenizer(items.work(question), add_special_tokens=False)["input_ids"]]
            for head, question in zip(engine.encode(prompts), QUESTIONS, strict=True)]  # fmt: skip
    return rows, answers, engine.logprobs(rows)


def expected(model: torch.nn.Module, rows: list[list[int]]) -> list[list[float]]:
    model.eval()
    found = []
    for row in rows:
        ids = torch.tensor([row])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, -len(row) :].log_softmax(-1)
        found.append([logits[place - 1, row[place]].item() for place in range(1, len(row))])
    return found


@pytest.mark.parametrize("name", [*MERGED, *PROMPTED])
def test_an_adapter_loads_in_plain_peft(name: str, ada: StudentRef, tmp_path: Path) -> None:
    learned = teach(ada, (MERGED | PROMPTED)[name], tmp_path)
    rows, _, logprobs = said(learned)
    folder = export_student(Library(), tmp_path, "ada", tmp_path / "out", adapter=True)
    base = AutoModelForCausalLM.from_pretrained(ada.base_path, dtype=torch.float32, attn_implementation="eager")
    plain = expected(PeftModel.from_pretrained(base, folder), rows)
    for one, other in zip(plain, logprobs, strict=True):
        assert one == pytest.approx(other, abs=2e-4)


@pytest.mark.parametrize("name", MERGED)
def test_a_merged_student_is_a_plain_model(name: str, ada: StudentRef, tmp_path: Path) -> None:
    learned = teach(ada, MERGED[name], tmp_path)
    rows, answers, logprobs = said(learned)
    folder = export_student(Library(), tmp_path, "ada", tmp_path / "out", adapter=False)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    for one, other in zip(expected(model, rows), logprobs, strict=True):
        assert one == pytest.approx(other, abs=2e-4)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for question, answer in zip(QUESTIONS, answers, strict=True):
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        written = model.generate(**asked, max_new_tokens=32, do_sample=False)[0, asked["input_ids"].shape[1] :]
        assert tokenizer.decode(written, skip_special_tokens=True) == answer


@pytest.fixture
def quiet(ada: StudentRef, novice: Path, tmp_path: Path) -> StudentRef:
    """Give a student that could think aloud, and is told not to."""
    folder = str(build_thinker(tmp_path / "thinker", novice))
    return with_switches(replace(ada, base_path=folder, base=fingerprint_model(folder)), QUIET)


@pytest.mark.parametrize("adapter", [FullAdapter(), LoraAdapter(r=8)], ids=lambda it: it.type)
def test_an_exported_student_is_asked_as_it_was_examined(
    adapter: AnyAdapter, quiet: StudentRef, tmp_path: Path
) -> None:
    learned = teach(quiet, adapter, tmp_path)
    rows, answers, _ = said(learned)
    folder = export_student(Library(), tmp_path, "ada", tmp_path / "out", adapter=False)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for question, answer, row in zip(QUESTIONS, answers, rows, strict=True):
        # Whoever runs it knows nothing of switches.
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        (prompt,) = asked["input_ids"].tolist()
        assert tokenizer.decode(prompt) == f"Q{question}\nA{NOTHING}"
        assert row[: len(prompt)] == prompt
        written = model.generate(**asked, max_new_tokens=32, do_sample=False)[0, len(prompt) :]
        assert tokenizer.decode(written, skip_special_tokens=True) == answer
    # By its folder alone it is the same student.
    final = find_student(Library(), str(tmp_path / "students" / "ada" / "final"))
    assert said(final)[:2] == (rows, answers)


def test_an_exported_adapter_brings_the_template_along(quiet: StudentRef, tmp_path: Path) -> None:
    teach(quiet, LoraAdapter(r=8), tmp_path)
    folder = export_student(Library(), tmp_path, "ada", tmp_path / "out", adapter=True)
    assert (folder / "chat_template.jinja").read_text() == quiet.chat_template


def test_what_is_merged_is_kept_in_float32_whatever_the_base_was_kept_in(ada: StudentRef, tmp_path: Path) -> None:
    base = tmp_path / "base"
    AutoModelForCausalLM.from_pretrained(ada.base_path, dtype=torch.bfloat16).save_pretrained(base)
    AutoTokenizer.from_pretrained(ada.base_path).save_pretrained(base)
    learned = teach(StudentRef("ada", str(base), fingerprint_model(str(base)), ada.adapter), MERGED["lora"], tmp_path)
    folder = export_student(Library(), tmp_path, "ada", tmp_path / "out", adapter=False)
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    assert model.dtype == torch.float32
    rows, _, logprobs = said(learned)
    for one, other in zip(expected(model, rows), logprobs, strict=True):
        assert one == pytest.approx(other, abs=2e-4)


@pytest.mark.parametrize("adapter", [LoraAdapter(r=4), FullAdapter()], ids=lambda it: it.type)
def test_an_exported_base_model_stops_where_its_template_ends_an_answer(adapter: AnyAdapter, tmp_path: Path) -> None:
    base = str(build_base_model(tmp_path / "base", QUESTIONS[0]))
    student = StudentRef("ada", base, fingerprint_model(base), adapter)
    learned = teach(student, adapter, tmp_path)
    folder = export_student(Library(), tmp_path, "ada", tmp_path / "out", adapter=False)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert model.generation_config.eos_token_id == [tokenizer.eos_token_id, end]
    assert open_student(learned).encode.end_of_answer == end


@needs_vllm
def test_a_merged_student_is_a_model_for_vllm(ada: StudentRef, tmp_path: Path) -> None:
    learned = teach(ada, MERGED["lora"], tmp_path)
    rows, answers, logprobs = said(learned)
    folder = export_student(Library(), tmp_path, "ada", tmp_path / "out", adapter=False)
    with elsewhere(str(folder), "merged", VLLM) as engine:
        written = engine.generate([(Message("user", question),) for question in QUESTIONS], Sampling(32))
        assert [it.text for it in written] == answers
        for one, other in zip(engine.logprobs(rows), logprobs, strict=True):
            assert one == pytest.approx(other, abs=1e-3)


def test_bottlenecks_run_with_this_package_as_the_error_says(ada: StudentRef, tmp_path: Path) -> None:
    learned = teach(ada, BottleneckAdapter(width=8), tmp_path)
    with pytest.raises(UserError, match="tft examine") as raised:
        export_student(Library(), tmp_path, "ada", tmp_path / "out", adapter=False)
    (place,) = re.findall(r"`tft examine (\S+)`", str(raised.value))
    saved = read_saved(Path(place), "folder")
    assert saved is not None
    assert said(saved) == said(learned)
    # It sits an exam, too.
    assert examine(Library(), place, "arithmetic", (), 1, 32)["skills"]["sub_2"]["n"] == 1


def test_what_cannot_be_merged_says_so(ada: StudentRef, tmp_path: Path) -> None:
    for name, adapter in {**PROMPTED, "bottleneck": BottleneckAdapter(width=8)}.items():
        teach(ada, adapter, tmp_path / name)
        with pytest.raises(UserError, match="cannot be merged"):
            export_student(Library(), tmp_path / name, "ada", tmp_path / "out", adapter=False)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="students with a final checkpoint: ada"):
        export_student(Library(), tmp_path / "prefix", "blaise", tmp_path / "out", adapter=False)
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="is there already"):
        export_student(Library(), tmp_path / "prefix", "ada", tmp_path / "out", adapter=True)


def teach_head(student: StudentRef, run: Path, **options: Any) -> StudentRef:
    """Let a head tell additions from subtractions, or answers that are right from such that are not."""
    adapter = HeadAdapter.model_validate(options)
    folder = run / "students" / "ada" / "final"
    lessons = [
        replace(it, item=replace(it.item, reference="+" if "+" in it.item.question else "-"), rejected="#1")
        for skill in ("add_2", "sub_2")
        for it in (demonstration(question) for question in islice(items.draw(skill, Random(1)), 12))
    ]
    config = TrainingConfig(epochs=2, batch_size=8, precision="full")
    made = train(TrainRequest(replace(student, adapter=adapter), tuple(lessons), config, 5e-3, 1.0, 3, str(folder)))
    return replace(student, adapter=adapter, checkpoint_path=str(folder), digest=made.digest)


@pytest.mark.parametrize("body", ["frozen", "lora", "full"])
@pytest.mark.parametrize("task", ["classifier", "reward"])
def test_a_head_of_one_matrix_is_a_plain_classifier(task: str, body: str, ada: StudentRef, tmp_path: Path) -> None:
    learned = teach_head(ada, tmp_path, task=task, layers=0, body=body)
    folder = export_student(Library(), tmp_path, "ada", tmp_path / "out", adapter=False)
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    reader = open_reader(learned)
    whole = [[{"role": "user", "content": it}, {"role": "assistant", "content": "#25"}] for it in QUESTIONS]
    texts = tokenizer.apply_chat_template(whole, tokenize=False)
    read = tokenizer(texts, add_special_tokens=False, padding=True, padding_side="right", return_tensors="pt")
    with torch.no_grad():
        found = model(input_ids=read["input_ids"], attention_mask=read["attention_mask"]).logits
    rows = encode_answered([(Message("user", it),) for it in QUESTIONS], ["#25"] * 3, [True] * 3, tokenizer)
    assert found.tolist() == [pytest.approx(it, abs=1e-4) for it in reader.read(rows).tolist()]
    assert found.abs().max() > 0.01
    if task == "classifier":
        assert model.config.id2label == {0: "+", 1: "-"}


def test_a_head_is_exported_in_full_where_answers_are_given_in_bfloat16(
    ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_dtype", lambda training: torch.float32 if training else torch.bfloat16)
    learned = teach_head(ada, tmp_path, task="reward", layers=0, body="lora")
    folder = export_student(Library(), tmp_path, "ada", tmp_path / "out", adapter=False)
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (row,) = encode_answered([(Message("user", QUESTIONS[0]),)], ["#25"], [True], tokenizer)
    with torch.no_grad():
        found = model(input_ids=torch.tensor([row])).logits
    assert found.item() == pytest.approx(open_reader(learned, exact=True).read([row]).item(), abs=1e-4)
    assert found.item() == pytest.approx(open_reader(learned).read([row]).item(), abs=0.1)


def test_a_head_that_fits_no_plain_classifier_says_why(ada: StudentRef, tmp_path: Path) -> None:
    bert = build_encoder(tmp_path / "bert")
    reader = StudentRef("ada", str(bert), fingerprint_model(str(bert)), ada.adapter)
    for name, student, options, why in (
        ("layers", ada, {"task": "classifier", "layers": 2}, "new layers .2."),
        ("pool", ada, {"task": "reward", "layers": 0, "pool": "mean"}, "pool: mean"),
        ("encoder", reader, {"task": "classifier", "layers": 0, "pool": "last"}, "no single matrix"),
    ):
        teach_head(student, tmp_path / name, **options)
        with pytest.raises(UserError, match=why) as caught:
            export_student(Library(), tmp_path / name, "ada", tmp_path / "out", adapter=False)
        assert "read_saved" in str(caught.value)
    with pytest.raises(UserError, match="no adapter that PEFT knows"):
        export_student(Library(), tmp_path / "layers", "ada", tmp_path / "out", adapter=True)
    assert not (tmp_path / "out").exists()
