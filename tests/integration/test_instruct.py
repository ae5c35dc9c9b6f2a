"""A chat model that is asked for JSON, on a real vLLM: its forms hold, and its nonsense reaches nobody."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chat import build_chat_model, write_card
from tests.remote import elsewhere, needs_vllm
from tft.config.campaign import VLLMEngineConfig
from tft.config.cards import FIELDS
from tft.ledger import Ledger
from tft.library import read_tutor
from tft.tutor import Pair, PreflightRequest, Tutor, TutorRef, prefer, preflight
from tft.tutor.cache import AnswerCache

ENGINE: dict[str, Any] = {"type": "vllm", "dtype": "float32", "context": 4096, "sequences": 128, "cpu_cache_gib": 1,
                          "block_size": 32, "eager": True}  # fmt: skip
ITEM = {"skill": "add_2", "title": "two-digit addition", "level": 1, "levels": 2, "examples": ["27+58"], "taken": []}
WORK = {"question": "27+58", "title": "two-digit addition", "marker": "#"}
ATTEMPT = {"question": "27+58", "attempt": "7+8=14 2+5+1=8 #84", "marker": "#"}

pytestmark = needs_vllm


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_chat_model(tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="module")
def tutor(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tutor]:
    card, folders = read_tutor(write_card(tmp_path_factory.mktemp("card")))
    with elsewhere(str(model), "babbler", VLLMEngineConfig.model_validate(ENGINE)) as engine:
        yield Tutor(card, folders, engine, AnswerCache(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize(
    ("role", "values"), [("author", ITEM), ("demonstrator", WORK), ("critic", ATTEMPT)], ids=lambda it: str(it)[:12]
)
def test_every_answer_has_the_form_of_its_role(tutor: Tutor, role: Any, values: dict[str, Any]) -> None:
    answers = tutor.ask(role, [values] * 16, seed=1)
    assert answers.reasons == [""] * 16
    for fields in answers.fields:
        assert fields is not None
        assert set(FIELDS[role]) <= set(fields)


def test_the_judge_answers_in_both_orders(tutor: Tutor) -> None:
    preferences, _ = prefer(tutor, [Pair("27+58", "#85", "#84"), Pair("3+4", "#7", "#8")])
    assert all(None not in it.said for it in preferences)
    assert {it.winner for it in preferences} <= {"first", "second", "tie"}


def test_the_scorer_scores_every_token(tutor: Tutor) -> None:
    scores, usage = tutor.score(["27+58"], ["7+8=15 2+5+1=8 #85"])
    assert usage.scored == len(scores[0]) > 1
    assert all(score < 0 for score in scores[0])


def test_a_campaign_teaches_none_of_it(model: Path, tmp_path: Path) -> None:
    write_card(tmp_path)
    config = {
        "campaign": "babble",
        "tutor": {"use": "babbler", "model": f"path:{model}", "engine": ENGINE},
        "students": [{"id": "ada", "model": "abacus/novice-a"}],
        "curriculum": "arithmetic",
        "skills": ["sub_1", "sub_2"],
        "exams": {"probe": 8, "check": 8, "final": 8},
        "tuition": {"cycles": 1, "lessons": 32},
        "cache": str(tmp_path / "cache"),
    }
    path, run = tmp_path / "babble.yaml", tmp_path / "run"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "tft", "run", str(path), "--out", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads((run / "report.json").read_text())
    assert report["stopped_because"] == "no_lessons"
    assert report["students"][0]["trained_tokens"] == 0
    assert report["curation"]["rejected"]["off_skill"] == 256
    first = report["curation"]["examples"][0]
    assert first["reason"] == "off_skill"
    assert json.loads(first["text"]).keys() == {"question"}
    # The curriculum draws what it cannot ask; what it answers to that is refused as well.
    assert report["curation"]["rejected"]["wrong"] == 32
    assert "288 lessons were refused; the first, item of sub_2 (off_skill): {" in " ".join(done.stdout.split())
    kept = map(json.loads, (run / "lessons" / "cycle-1.jsonl").read_text().splitlines())
    assert {lesson["kind"] for lesson in kept} == {"replay"}
    assert Ledger(run).fact("outcome/ada")["promoted_digest"] is None


def test_preflight_holds(model: Path, tmp_path: Path) -> None:
    """Run where vLLM may do to its process what it does."""
    ref = TutorRef(
        str(write_card(tmp_path)), str(model), "babbler", VLLMEngineConfig.model_validate(ENGINE), str(tmp_path)
    )
    request = PreflightRequest(ref, *[{"author": ITEM, "demonstrator": WORK, "critic": ATTEMPT}] * 2)  # type: ignore[arg-type]

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(preflight, request).result()
    assert [check for check in found.checks if check.outcome == "failed"] == []
    assert {check.name for check in found.checks if check.outcome == "held"} >= {
        "answers", "length", "deterministic", "template", "schema", "context",
    }  # fmt: skip
