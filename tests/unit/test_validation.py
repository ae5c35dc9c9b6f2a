from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from tests.encoders import build_encoder
from tft.cli import main
from tft.library import shipped
from tft.validation import content, validate
from tft.validation.telling import tell

from .planted import KEYS, plant

if TYPE_CHECKING:
    from pathlib import Path

NOVICE = shipped() / "tutors" / "abacus" / "novice-a"
ITEMS = """\
def draw(skill, rng):
    if skill == "broken":
        raise ZeroDivisionError("planted")
    yield from (f"{skill}{n}" for n in range(12 if skill == "few" else 100000))

def classify(question):
    return question.rstrip("0123456789"), 1, "0"

def fingerprint(question):
    return question
"""
CURRICULUM: dict[str, Any] = {
    "curriculum": "mine",
    "description": "d",
    "items": "items.py",
    "grader": "exact",
    "skills": {"some": {"title": "t"}},
}
CAMPAIGN: dict[str, Any] = {
    "campaign": "mine",
    "tutor": {"use": "abacus", "model": "abacus/novice-a"},
    "students": [{"id": "ada", "model": "abacus/novice-b"}],
    "curriculum": "mine",
}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def write(folder: Path, campaign: dict[str, Any] | None = None, curriculum: dict[str, Any] | None = None) -> Path:
    place = folder / "curricula" / "mine"
    place.mkdir(parents=True)
    (place / "curriculum.yaml").write_text(yaml.safe_dump({**CURRICULUM, **(curriculum or {})}))
    (place / "items.py").write_text(ITEMS)
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**CAMPAIGN, **(campaign or {})}))
    return path


def found(path: Path, *overrides: str) -> dict[str | None, Any]:
    return {problem.key: problem for problem in validate(path, overrides).problems}


def test_a_sound_config_has_no_problems_and_says_what_its_names_became(tmp_path: Path) -> None:
    checked = validate(write(tmp_path))
    assert checked.problems == ()
    assert checked.resolved["students"]["ada"]["kind"] == "library"
    assert checked.resolved["tutor"]["model"]["address"] == str(NOVICE)
    assert checked.resolved["curriculum"]["skills"] == {"some": "taught"}
    json.dumps(checked.as_record())


def test_ten_planted_mistakes_are_found_at_once(tmp_path: Path) -> None:
    path = plant(tmp_path, NOVICE)
    problems = validate(path).problems
    assert {it.key: it.value for it in problems} == {**KEYS, "exams.examiner": f"path:{NOVICE}"}
    assert len(problems) == 10
    for problem in problems:
        assert problem.file in (str(path), str(tmp_path / "curricula" / "planted" / "curriculum.yaml"))
        assert problem.remedy, problem


@pytest.fixture
def silent_hub() -> Any:
    """A server that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_it_answers_in_two_seconds_although_the_hub_hangs(tmp_path: Path, silent_hub: str) -> None:
    path = plant(tmp_path, NOVICE)
    command = [sys.executable, "-m", "tft", "validate", str(path), "--json"]
    environment = {**os.environ, "HF_ENDPOINT": silent_hub, "HF_HOME": str(tmp_path / "hub")}
    best = 60.0
    for _ in range(5):
        start = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        best = min(best, time.monotonic() - start)
        if best < 2:
            break
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert {error["key"] for error in json.loads(done.stdout)["errors"]} == set(KEYS)
    assert best < 2


def test_it_loads_nothing_heavy(tmp_path: Path) -> None:
    path = write(tmp_path)
    program = (
        f"import sys; from pathlib import Path; from tft.validation import validate; validate(Path({str(path)!r}));"
        "print([name for name in ('torch', 'ray', 'vllm', 'transformers', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("examiner", ["abacus", "abacus/novice-a", "hub:abacus/novice-a", "path:copy"])
def test_the_tutor_may_not_examine_under_any_name(tmp_path: Path, examiner: str) -> None:
    shutil.copytree(NOVICE, tmp_path / "copy")
    path = write(tmp_path)
    problem = found(path, f"exams.examiner={examiner}").get("exams.examiner")
    if examiner.startswith("hub:"):
        assert problem is not None and "could not be asked" in problem.message
    else:
        assert problem is not None and "may not examine" in problem.message


def test_another_model_may_examine(tmp_path: Path) -> None:
    assert not found(write(tmp_path), "exams.examiner=abacus/weights")


def test_a_missing_model_folder_is_named_with_its_key(tmp_path: Path) -> None:
    problem = found(write(tmp_path), "tutor.model=path:./nowhere")["tutor.model"]
    assert problem.value == "path:./nowhere"
    assert problem.remedy


def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    path = write(tmp_path, {"students": [{"id": "ada", "model": "path:hollow"}]})
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "config.json").write_text("{}")
    assert "safetensors" in found(path)["students.0.model"].message


def test_unknown_names_are_answered_with_those_there_are(tmp_path: Path) -> None:
    path = write(tmp_path, {"tutor": "abakus", "skills": ["sme"], "exams": {"whole": ["gsm8k_calculator_step"]}})
    problems = found(path)
    assert "did you mean abacus" in problems["tutor"].remedy
    assert "did you mean some" in problems["skills.0"].remedy
    assert "did you mean gsm8k_calculator_steps" in problems["exams.whole.0"].remedy


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    problem = found(write(tmp_path), "tutor.engine=transformer")["tutor.engine.type"]
    assert problem.value == "transformer"
    assert "did you mean transformers" in problem.remedy


def test_what_an_engine_lacks_here_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path)
    monkeypatch.setattr("tft.validation.content.find_spec", lambda _: None)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    assert "make vllm-cpu" in found(path, "tutor.engine.type=vllm")["tutor.engine.type"].remedy
    endpoint = "tutor.engine={type: endpoint, url: 'http://127.0.0.1:1/v1', key_env: NO_SUCH_KEY, model: m}"
    assert "export NO_SUCH_KEY" in found(path, endpoint)["tutor.engine.key_env"].remedy
    # What a cluster that is joined has, nobody knows here.
    assert found(path, endpoint, "cluster.type=ray", "cluster.address=auto") == {}
    monkeypatch.setenv("NO_SUCH_KEY", "there")
    assert found(path, endpoint) == {}


def test_who_gets_which_gpu_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert validate(path).resolved["placement"] == "tutor 1 GPU; each of 1 students 1 GPU"
    wide = "tutor.engine={type: vllm, tensor_parallel: 8}"
    assert "no machine has more than 4" in found(path, wide)["tutor.engine.tensor_parallel"].message
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert validate(path).resolved["placement"] == "all on CPUs"
    assert "in one process" in validate(path, ["cluster=inline"]).resolved["placement"]
    assert (
        "when the cluster at auto is joined"
        in validate(path, ["cluster={type: ray, address: auto}"]).resolved["placement"]
    )


def test_every_skill_with_too_few_items_is_named(tmp_path: Path) -> None:
    skills = {"few": {"title": "t"}, "some": {"title": "t"}}
    problem = found(write(tmp_path, curriculum={"skills": skills}))["exams"]
    assert "few has only 12" in problem.message


def test_what_an_item_source_raises_is_a_problem(tmp_path: Path) -> None:
    problem = found(write(tmp_path, curriculum={"skills": {"broken": {"title": "t"}}}))["draw"]
    assert "ZeroDivisionError" in problem.message
    assert problem.file == str(tmp_path / "curricula" / "mine" / "items.py")


def test_a_curriculum_in_which_nothing_is_taught_is_refused(tmp_path: Path) -> None:
    skills = {"some": {"title": "t", "role": "retention"}}
    assert "to be taught" in found(write(tmp_path, curriculum={"skills": skills}))["skills"].message


def test_a_budget_below_one_batch_is_refused_with_what_it_takes(tmp_path: Path) -> None:
    path = write(tmp_path)
    batch = validate(path).estimate["tutor_tokens"]["one_batch_at_most"]
    assert str(batch) in found(path, f"budget.tutor_tokens={batch - 1}")["budget.tutor_tokens"].remedy
    assert not found(path, f"budget.tutor_tokens={batch}")


def test_requests_and_money_are_limits_too(tmp_path: Path) -> None:
    path = write(tmp_path)
    priced = "tutor={use: abacus, price: {prompt: 1.0, completion: 2.0}}"
    assert "512" in found(path, "budget.tutor_requests=511")["budget.tutor_requests"].remedy
    assert not found(path, "budget.tutor_requests=512")
    assert "price" in found(path, "budget.money=5")["budget.money"].remedy
    known = validate(path, [priced]).estimate["tutor_tokens"]
    assert known["campaign_at_most"] / 1e6 < known["price_at_most"] < 2 * known["campaign_at_most"] / 1e6
    assert validate(path, [priced, "budget.money=1"]).estimate["tutor_tokens"]["price_at_most"] == 1
    assert "less than one batch" in found(path, priced, "budget.money=0.001")["budget.money"].message


def test_a_pace_that_no_batch_keeps_is_refused_with_one_that_would_do(tmp_path: Path) -> None:
    path = write(tmp_path)
    key = "tutor.engine.requests_per_minute"

    def at(pace: float, deadline: float, *settings: str) -> dict[str | None, Any]:
        told = f"url: 'http://127.0.0.1:1/v1', model: m, requests_per_minute: {pace}, deadline: {deadline}"
        return found(path, f"tutor.engine={{type: endpoint, {told}}}", *settings)

    # 256 in half an hour are 8.53 a minute, and eight a minute take 32 minutes.
    problem = at(8, 1800)[key]
    assert problem.value == "8" and "256 lessons" in problem.message
    assert problem.remedy == "take 9 or more, or a deadline of 1920"
    assert key not in at(9, 1800)
    assert key not in at(8, 1920)
    # Nobody is asked for lessons there.
    assert key not in at(8, 1800, "tuition.methods=self_training")


def test_the_estimate_is_derived_from_the_config(tmp_path: Path) -> None:
    path = write(tmp_path)
    once = validate(path, ["tuition.cycles=1"]).estimate
    twice = validate(path, ["tuition.cycles=2"]).estimate
    assert twice["tutor_tokens"]["campaign_at_most"] == 2 * once["tutor_tokens"]["campaign_at_most"]
    # 1 cycle: probe 64 and check 128, the check before it, and the final of 256 twice.
    assert once["items_examined"] == {"student_and_cycle": 192, "campaign_at_most": 64 + 128 + 128 + 512}
    capped = validate(path, ["budget.tutor_tokens=50k"]).estimate["tutor_tokens"]
    assert capped["campaign_at_most"] == 50_000


def test_memory_is_read_from_the_headers_of_the_weights(tmp_path: Path) -> None:
    full = validate(write(tmp_path)).estimate["memory_bytes"]
    lora = validate(tmp_path / "mine.yaml", ["students.0.adapter=lora"]).estimate["memory_bytes"]
    assert full["students"]["ada"]["weights"] == full["tutor"] < lora["students"]["ada"]["weights"]
    parted = validate(tmp_path / "mine.yaml", ["training.workers=3", "training.parallel=fsdp"]).estimate["memory_bytes"]
    whole, part = (it["students"]["ada"] for it in (full, parted))
    assert (part["weights"], part["optimizer"]) == (whole["weights"], round(whole["optimizer"] / 3))


@pytest.mark.parametrize(("settings", "key"), [
    (["training.workers=2", "cluster=inline"], "cluster"),
    (["training.workers=2", "training.classroom=true"], "training.classroom"),
    (["training.parallel=fsdp"], "training.parallel"),
    (["training.workers=2", "training.parallel=fsdp", "students.0.adapter={type: head, task: classifier}"],
     "students.0.adapter.type"),
    (["training.workers=2", "training.parallel=fsdp", "training.optimizer=muon"], "training.optimizer"),
    (["training.workers=2", "training.parallel=fsdp", "students.0.adapter={type: lora, quantize: nf4}"],
     "students.0.adapter.quantize"),
])  # fmt: skip
def test_workers_that_cannot_be_are_refused(tmp_path: Path, settings: list[str], key: str) -> None:
    (problem,) = validate(write(tmp_path), settings).problems
    assert problem.key == key
    assert problem.remedy


def test_workers_are_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert validate(path, ["training.workers=2"]).resolved["placement"] == "all on CPUs, 2 workers a student"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert "each of 2 workers of 1 students 1 GPU" in validate(path, ["training.workers=2"]).resolved["placement"]
    (problem,) = validate(path, ["training.workers=3"]).problems
    assert problem.key == "training.workers"


def test_a_run_directory_that_cannot_be_made_is_a_problem(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "file").write_text("")
    problems = validate(path, out=tmp_path / "file" / "run").problems
    assert [problem.key for problem in problems] == ["--out"]


def test_a_config_that_is_not_there_is_one_problem(tmp_path: Path) -> None:
    problems = validate(tmp_path / "nowhere.yaml").problems
    assert [problem.message for problem in problems] == ["there is no such file"]


def test_bad_overrides_are_listed_with_the_rest(tmp_path: Path) -> None:
    checked = validate(write(tmp_path, {"sed": 1}), ["nonsense", "campaign.x.y=1"])
    assert {"--set", "sed"} <= {problem.key for problem in checked.problems}


def test_the_size_of_a_batch_is_the_one_that_is_taught() -> None:
    from tft import shelf
    from tft.config.campaign import LESSONS_A_BATCH

    assert getattr(shelf, "_BATCH", LESSONS_A_BATCH) == LESSONS_A_BATCH


def test_what_needs_bitsandbytes_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    asked = ("students.0.adapter={type: lora, quantize: nf4}", "training.optimizer=adamw_8bit")
    monkeypatch.setattr(content, "find_spec", lambda name: None)  # noqa: ARG005
    problems = found(path, *asked)
    assert set(problems) == {"students.0.adapter.quantize", "training.optimizer.type"}
    assert all("[qlora]" in str(problem.remedy) for problem in problems.values())
    # On a cluster that is joined, other machines have it or not.
    assert not found(path, *asked, "cluster={type: ray, address: auto}")
    monkeypatch.setattr(content, "find_spec", lambda name: name)
    assert not found(path, *asked)


def test_an_encoder_is_refused_where_it_would_have_to_write(tmp_path: Path) -> None:
    build_encoder(tmp_path / "bert")
    path = write(tmp_path)
    (problem,) = validate(path, ["students.0.model=bert"]).problems
    assert (problem.key, problem.value) == ("students.0.model", "bert")
    assert "cannot write" in problem.message and "head" in str(problem.remedy)
    reward = found(path, "students.0.model=bert", "students.0.adapter={type: head, task: reward}")
    assert "no answers to choose from" in reward["students.0.adapter.task"].message
    for task in ("classifier", "regressor"):
        assert not found(path, "students.0.model=bert", f"students.0.adapter={{type: head, task: {task}}}")


def test_references_that_a_head_cannot_learn_are_found(tmp_path: Path) -> None:
    for name, task, reference, told in (
        ("labels", "{type: classifier, labels: [yes it is]}", "0", "no labels: 0"),
        ("numbers", "regressor", "many", "no numbers: many"),
    ):
        path = write(tmp_path / name)
        items = tmp_path / name / "curricula" / "mine" / "items.py"
        items.write_text(ITEMS.replace('1, "0"', f'1, "{reference}"'))
        problems = found(path, f"students.0.adapter={{type: head, task: {task}}}")
        assert told in problems["students.0.adapter.task"].message


def test_a_reward_model_that_is_none_is_found(tmp_path: Path) -> None:
    path = write(tmp_path)
    reward = "training.objectives.practice={type: grpo, reward: nowhere}"
    (problem,) = validate(path, ["tuition.methods=practice", reward]).problems
    assert problem.key == "training.objectives.practice.reward.model"
    assert problem.file == str(path) and "no such folder" in problem.message


def test_a_head_alone_needs_no_memory_for_its_body(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole, added, frozen = (
        validate(path, [f"students.0.adapter={{type: head, task: reward, body: {body}}}"])
        .estimate["memory_bytes"]["students"]["ada"]["optimizer"]
        for body in ("full", "lora", "frozen")
    )  # fmt: skip
    assert whole > added > frozen == 0


def test_a_file_of_questions_is_read_and_told_about(tmp_path: Path) -> None:
    path = write(tmp_path, {"exams": {"whole": ["mine.csv", "mine.csv", "theirs.csv"]}})
    (tmp_path / "mine.csv").write_text("question,answer\n1+1,2\n,3\n")
    problems = found(path)
    assert set(problems) == {"exams.whole.1", "exams.whole.2"}
    assert "is named before" in problems["exams.whole.1"].message
    assert problems["exams.whole.2"].value == "theirs.csv"
    told = validate(path, []).resolved["suites"]["mine.csv"]
    assert (told["items"], told["grader"]) == (1, "numeric, because all 1 references are numbers")
    assert (told["rejected"], told["first_rejected"]) == ({"empty": 1}, "mine.csv, row 2: question is empty")


def test_what_the_gate_watches_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, {"exams": {"whole": ["mine.csv"], "watched": 2, "probe": 16, "check": 16, "final": 16}})
    (tmp_path / "mine.csv").write_text("\n".join(["question,answer", *(f"q{it},{it}" for it in range(20))]))
    checked = validate(path)
    assert checked.resolved["suites"]["mine.csv"]["watched"] == 2
    assert (checked.resolved["suites"]["mine.csv"]["items"], checked.estimate["items_examined"]) == (
        18, {"student_and_cycle": 16 + 16 + 2, "campaign_at_most": 4 * 34 + 18 + 2 * (16 + 18)},
    )  # fmt: skip
    less = validate(path, ["exams.watched=3"]).resolved["suites"]["mine.csv"]
    assert (less["watched"], less["items"]) == (0, 20)
    assert less["unwatched"] == "it has 20 different questions, and 3 are set apart only where there are 30 or more"


def test_what_so_many_items_can_show_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, {"exams": {"check": 96}, "tuition": {"max_drop": 0.1}})
    checked = validate(path)
    assert checked.resolved["intervals"]["check"] == "96 items: ±9.8 points at worst, at 95 %"
    assert not checked.warnings
    coarse = validate(path, ["exams.check=64"]).warnings
    assert [(it.key, it.value) for it in coarse] == [("exams.check", "64")]
    assert "±11.9 points at worst" in coarse[0].message
    assert coarse[0].remedy == "take 93 items or more, or raise tuition.max_drop"
    assert not validate(path, ["exams.check=93"]).warnings
    assert validate(path, ["exams.check=92"]).warnings


def test_a_tutor_that_may_write_more_than_a_student_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, {"exams": {"check": 96, "max_tokens": 63}})
    (warning,) = validate(path).warnings
    assert (warning.key, warning.value) == ("exams.max_tokens", "63")
    assert "less than the 64 tokens that the demonstrator of abacus" in warning.message
    assert "64 at most" in str(warning.remedy)
    for held in (
        "exams.max_tokens=64", "tuition.methods=self_training", "tuition.methods=feedback",
        "students.0.adapter={type: head, task: {type: classifier, labels: ['0']}}",
    ):  # fmt: skip
        assert not validate(path, [held]).warnings, held
    assert len(validate(path, ["tuition.methods=preference"]).warnings) == 1
    assert len(validate(path, ["tutor.use=instruct", "exams.max_tokens=2047"]).warnings) == 1


@pytest.mark.parametrize(("settings", "idle"), [
    (["training.objectives.practice=ppo"], "training.objectives.practice"),
    (["training.objectives.practice=ppo", "tuition.methods=practice"], ""),
    (["training.objectives.practice=grpo"], ""),
    (["training.objectives.preference=kto"], "training.objectives.preference"),
    (["training.objectives.preference=kto", "tuition.pairs=judge"], ""),
    (["tuition.methods=critique", "tuition.demonstrations=8"], "tuition.demonstrations"),
    (["tuition.methods=feedback", "tuition.questions=curriculum"], ""),
    (["tuition.methods=practice", "tuition.questions=curriculum"], "tuition.questions"),
    (["training.objectives.regressor={type: regression, rate: 2}"], "training.objectives.regressor"),
])  # fmt: skip
def test_settings_that_decide_nothing_are_told(settings: list[str], idle: str, tmp_path: Path) -> None:
    path = write(tmp_path, {"exams": {"check": 96, "max_tokens": 64}})
    checked = validate(path, settings)
    assert not checked.problems
    assert [it.key for it in checked.warnings] == ([idle] if idle else [])
    assert all("has no effect" in it.message for it in checked.warnings)


def told(path: Path, *settings: str) -> dict[str, list[str]]:
    checked = validate(path, settings)
    lines: dict[str, list[str]] = {}
    for about, said in tell(checked.resolved, checked.estimate):
        lines.setdefault(about, []).append(said)
    return lines


def test_what_became_of_names_is_told_in_lines(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "some99998", "completion": "0"}\n{"prompt": "some8"}\n')
    (tmp_path / "mine.csv").write_text("question,answer\n" + "".join(f"{n}+1,{n + 1}\n" for n in range(20, 40)))
    path = write(tmp_path, {"exams": {"whole": ["mine.csv"]}, "budget": {"tutor_tokens": "1M"}})
    lines = told(path, "material=[rows.jsonl]")
    assert lines["student"][0].startswith("ada: ") and lines["student"][0].endswith("GiB")
    assert "abacus/tutor.yaml, on transformers: " in lines["tutor"][0]
    assert lines["whole exam"][0].startswith("mine.csv: 20 items, graded by numeric")
    assert lines["material"][0].startswith("rows.jsonl: all 2 rows; ")
    assert "the limit is 1,000,000" in lines["tokens"][0]
    assert [it.split(",")[0] for it in lines["exam"]] == ["probe", "check", "final", "watched"]
    endpoint = "tutor.engine={type: endpoint, url: 'http://127.0.0.1:9/v1', model: theirs}"
    served = told(path, endpoint, "tutor.price={prompt: 1}")
    assert served["tutor"][0].endswith("on endpoint: a model that its endpoint knows")
    assert "at a price of" in served["tokens"][0]
    unknown = told(path, "students.0.model=nobody/nothing", "curriculum=none")
    assert "curriculum" not in unknown and unknown["student"][0].endswith("what is not known")


@pytest.mark.parametrize("name", sorted(path.name for path in (shipped() / "configs").glob("*.yaml")))
def test_every_setting_of_a_shipped_config_decides_something(name: str) -> None:
    assert not [it for it in validate(shipped() / "configs" / name).warnings if "has no effect" in it.message]


def test_nothing_needs_an_end_where_what_was_cut_off_is_graded(tmp_path: Path) -> None:
    graded = {"grader": {"type": "exact", "cut_off": True}}
    assert not validate(write(tmp_path, {"exams": {"check": 96, "max_tokens": 8}}, graded)).warnings


@pytest.mark.parametrize("name", sorted(path.name for path in (shipped() / "configs").glob("*.yaml")))
def test_answers_of_shipped_tutors_fit_into_shipped_exams(name: str) -> None:
    assert "exams.max_tokens" not in {it.key for it in validate(shipped() / "configs" / name).warnings}


def test_a_card_may_name_what_an_endpoint_calls_the_model(tmp_path: Path) -> None:
    path = write(tmp_path, {"tutor": "served"})
    card = yaml.safe_load((shipped() / "tutors" / "abacus" / "tutor.yaml").read_text())
    card |= {"tutor": "served", "extends": "abacus", "model": "some-name-of-theirs"}
    card["engine"] = {"type": "endpoint", "url": "http://127.0.0.1:9/v1"}
    (tmp_path / "tutors" / "served").mkdir(parents=True)
    (tmp_path / "tutors" / "served" / "tutor.yaml").write_text(yaml.safe_dump(card))
    assert found(path) == {}
    assert "model" in found(path, "tutor.engine=transformers")


def test_questions_that_the_item_source_cannot_read_are_told(tmp_path: Path) -> None:
    path = write(tmp_path, {"exams": {"whole": ["mine.csv"]}})
    source = ITEMS.replace("def classify(question):\n", 'def classify(question):\n    assert "?" not in question\n')
    (tmp_path / "curricula" / "mine" / "items.py").write_text(source)
    (tmp_path / "mine.csv").write_text("question,answer\nWhat?,2\n")
    problem = found(path)["exams.whole.0"]
    assert "raised AssertionError" in problem.message and problem.remedy is not None and "any text" in problem.remedy


RUBRIC: dict[str, Any] = {"exam": "polite", "caption": "c", "data": {"path": "mine.csv"}}


def judged(folder: Path, judge: Any, **campaign: Any) -> Path:
    """Write a campaign with a whole exam that a judge grades."""
    path = write(folder, {"exams": {"whole": ["polite"], **campaign}})
    (folder / "evals").mkdir()
    (folder / "evals" / "mine.csv").write_text("question\nWhat?\n")
    grader = {"type": "rubric", "rubric": "It is polite.", **({"judge": judge} if judge else {})}
    (folder / "evals" / "polite.yaml").write_text(yaml.safe_dump({**RUBRIC, "grader": grader}))
    return path


@pytest.mark.parametrize(("judge", "message"), [
    ("abacus/novice-a", "is the tutor's own model"),
    ("abacus", "is the tutor's own model"),
    ("path:tutor-copy", "is the tutor's own model"),
    ("path:student-copy", "is the model of student ada"),
    ({"model": "abacus/novice-b", "engine": {"type": "endpoint", "url": "http://127.0.0.1:9/v1"}}, "of student ada"),
    ({"model": "m", "engine": {"type": "endpoint", "url": "http://127.0.0.1:9/v1", "model": "abacus"}}, "tutor's own"),
])  # fmt: skip
def test_a_judge_neither_teaches_nor_is_taught(tmp_path: Path, judge: Any, message: str) -> None:
    shutil.copytree(NOVICE, tmp_path / "tutor-copy")
    shutil.copytree(NOVICE.with_name("novice-b"), tmp_path / "student-copy")
    path = judged(tmp_path, judge)
    problem = found(path).get("grader.judge.model")
    assert problem is not None and message in problem.message
    assert problem.file == str(tmp_path / "evals" / "polite.yaml")


def test_a_judge_of_its_own_is_resolved_and_told(tmp_path: Path) -> None:
    path = judged(tmp_path, {"model": "abacus/weights", "max_tokens": 64})
    checked = validate(path)
    assert checked.problems == ()
    assert [it["kind"] for it in checked.resolved["judges"].values()] == ["library"]
    assert checked.resolved["suites"]["polite"]["grader"] == "rubric"


def test_what_a_judge_needs_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    engine = {"type": "endpoint", "url": "http://127.0.0.1:9/v1", "key_env": "NO_SUCH_KEY"}
    assert (
        found(judged(tmp_path, {"model": "m", "engine": engine}))["grader.judge.engine.key_env"].value == "NO_SUCH_KEY"
    )


def test_a_rubric_that_nobody_can_grade_is_an_error_unless_there_is_an_examiner(tmp_path: Path) -> None:
    path = judged(tmp_path, None)
    assert "nobody is named" in found(path)["grader.judge"].message
    assert not found(path, "exams.examiner=abacus/weights")
    assert not found(path, "exams.examiner={model: abacus/weights, max_tokens: 32}")
    assert "no student" in found(path, "exams.examiner={model: abacus/novice-b}")["exams.examiner.model"].message


def test_a_rubric_grades_whole_exams_only(tmp_path: Path) -> None:
    path = write(tmp_path, curriculum={"grader": "rubric"})
    (problem,) = [it for key, it in found(path).items() if (key or "").startswith("grader")]
    assert problem.message == "grades whole exams only"


def test_a_task_of_lm_eval_has_to_be_there_and_lm_eval_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, {"exams": {"whole": ["lm-eval:task.yaml", "lm-eval:gsm8k"]}})
    monkeypatch.setattr(content, "find_spec", lambda name: None if name == "lm_eval" else name)
    problems = [it for it in validate(path).problems if it.key == "exams.whole.0"]
    assert [it.message for it in problems] == ["there is no such task file", "lm-eval is not installed here"]
    monkeypatch.setattr(content, "find_spec", lambda name: name)
    (tmp_path / "task.yaml").write_text("task: mine\n")
    checked = validate(path)
    assert checked.problems == ()
    assert "when the campaign begins" in checked.resolved["suites"]["lm-eval:gsm8k"]["reason"]


def test_a_log_of_inspect_ai_has_to_be_there_and_inspect_ai_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, {"exams": {"whole": ["mine.eval", "logged"]}})
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "logged.yaml").write_text("{exam: e, caption: c, inspect: theirs.eval}")
    monkeypatch.setattr(content, "find_spec", lambda name: None if name == "inspect_ai" else name)
    said = {it.key: it.message for it in validate(path).problems}
    assert said["exams.whole.0"] == "there is no such log"
    assert [it.message for it in validate(path).problems if it.key == "exams.whole.1"] == [
        "the log that it names is not there", "inspect_ai is not installed here",
    ]  # fmt: skip
    (tmp_path / "mine.eval").write_text("")
    (tmp_path / "evals" / "theirs.eval").write_text("")
    monkeypatch.setattr(content, "find_spec", lambda name: name)
    assert validate(path).problems == ()


def test_a_whole_exam_has_a_name_of_its_own(tmp_path: Path) -> None:
    called = ["final", "check", "self-correction", "some", "sums", "sums", "other"]
    path = write(tmp_path, {"exams": {"whole": [f"card-{place}" for place in range(len(called))]}})
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "mine.csv").write_text("question,answer\n1+1,2\n")
    for place, name in enumerate(called):
        card = {"exam": name, "caption": "c", "data": {"path": "mine.csv"}}
        (tmp_path / "evals" / f"card-{place}.yaml").write_text(yaml.safe_dump(card))
    told = {key: (it.value, it.message) for key, it in found(path).items()}
    assert told == {
        "exams.whole.0": ("card-0", "is called final, as is a sitting of every campaign"),
        "exams.whole.1": ("card-1", "is called check, as is a sitting of every campaign"),
        "exams.whole.2": ("card-2", "is called self-correction, as is a sitting of every campaign"),
        "exams.whole.3": ("card-3", "is called some, as is a skill of this campaign"),
        "exams.whole.5": ("card-5", "is called sums, as is the whole exam card-4"),
    }
    done = CliRunner().invoke(main, ["validate", str(path)])
    assert done.exit_code == 2 and "is called sums, as is the whole exam card-4" in done.output
