"""Each mismatch that would teach badly without a word, planted in a real server, is found and its cure named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.endpoint import serve
from tft.config.campaign import EndpointEngineConfig, TransformersEngineConfig
from tft.config.cards import Role, SkillCard
from tft.config.training import DistillationConfig
from tft.engines import endpoint
from tft.engines.transformers import TransformersEngine, load_model
from tft.library import fingerprint_model
from tft.tutor import Preflight, PreflightRequest, TutorRef, preflight
from tft.tutor.roles import _opened
from tft.tutor.values import longest_values, usual_values

SKILL = SkillCard(title="adding", levels=2)
CARD = {
    "tutor": "novice", "description": "a novice that teaches", "longest_attempt": 60,
    "roles": {
        "author": {"prompt": "ask.j2", "answer": r"(?P<question>.*)", "max_tokens": 12},
        "demonstrator": {"prompt": "ask.j2", "answer": "(?P<work>.*)", "max_tokens": 40},
        "critic": {"prompt": "ask.j2", "answer": "(?P<critique>.*):(?P<revision>.*)", "max_tokens": 40},
        "judge": {"prompt": "ask.j2", "schema": {"type": "object", "properties": {"winner": {"type": "string"}},
                                                "required": ["winner"]}},
    },
}  # fmt: skip
TEMPLATE = "{{ question if question is defined else '3+4' }}"


@pytest.fixture(scope="module")
def model(novice: Path) -> TransformersEngine:
    return TransformersEngine(*load_model(novice), "novice")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Iterator[None]:  # noqa: ARG001
    monkeypatch.setattr(endpoint, "_FIRST_WAIT", 0.01)
    yield
    _opened.cache_clear()


Check = Callable[..., Preflight]


@pytest.fixture
def check(model: TransformersEngine, novice: Path, tmp_path: Path) -> Check:
    """Check a tutor behind a server with quirks."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "ask.j2").write_text(TEMPLATE)
    (tmp_path / "tutor.yaml").write_text(yaml.safe_dump(CARD))

    def checked(
        *quirks: str, key: str | None = None, weights: str | None = str(novice), roles: tuple[Role, ...] = (),
        feedback: DistillationConfig | None = None, **engine: Any,
    ) -> Preflight:  # fmt: skip
        with serve(model, key=key, quirks=quirks) as server:
            known = {"url": server.url, "tokenizer": str(novice), "context": 256, "deadline": 20, **engine}
            config = EndpointEngineConfig.model_validate(known)
            card, cache = str(tmp_path / "tutor.yaml"), str(tmp_path / "cache")
            ref = TutorRef(card, "novice", "novice", config, cache, weights)
            values = usual_values("add_2", SKILL, "27+58", "#")
            longest = longest_values({"add_2": SKILL}, "999+999", 60, "#")
            if roles:
                values, longest = ({role: it[role] for role in roles} for it in (values, longest))
            return preflight(PreflightRequest(ref, values, longest, feedback))

    return checked


def test_a_server_that_is_what_it_seems_passes_every_check(check: Check) -> None:
    found = check()
    assert {it.name: it.outcome for it in found.checks} == dict.fromkeys(
        ("answers", "length", "deterministic", "template", "logprobs", "weights", "schema", "context"), "held"
    )
    assert found.failures == ()


def test_a_tutor_that_only_judges_is_checked_as_a_judge(check: Check) -> None:
    found = check(roles=("judge",))
    assert found.failures == ()
    assert {it.name: it.outcome for it in found.checks}["logprobs"] == "held"


FEEDBACK = DistillationConfig(top_k=8)


@pytest.mark.parametrize("feedback", [FEEDBACK, DistillationConfig(divergence="sampled")])
def test_a_tutor_that_gives_feedback_passes(check: Check, feedback: DistillationConfig) -> None:
    found = check(feedback=feedback)
    assert found.failures == ()
    assert found.checks[-1].name == "feedback" and found.checks[-1].outcome == "held"


@pytest.mark.parametrize(("quirk", "divergence", "said"), [
    ("mute", "reverse_kl", "gives no prompt_logprobs"), ("mute", "sampled", "gives no prompt_logprobs"),
    ("few", "reverse_kl", "gives 5 likeliest tokens"),
])  # fmt: skip
def test_a_tutor_that_cannot_give_the_feedback_students_learn_from_is_found(
    check: Check, quirk: str, divergence: Any, said: str
) -> None:
    (failure,) = check(quirk, feedback=DistillationConfig(top_k=8, divergence=divergence)).failures
    assert failure.name == "feedback" and said in failure.detail
    assert "--max-logprobs" in failure.cure and "top_k" in failure.cure
    # Who learns from answers alone can do without.
    assert check(quirk).failures == ()


def test_feedback_needs_the_tokenizer_here(check: Check) -> None:
    (failure,) = check(feedback=FEEDBACK, tokenizer=None).failures
    assert failure.name == "feedback" and "engine.tokenizer" in failure.detail


@pytest.mark.parametrize(("quirk", "name", "cure"), [
    ("other_model", "answers", "GET /models"),
    ("endless", "length", "max_tokens"),
    ("proud", "length", "finish_reason"),
    ("moody", "deterministic", "one model"),
    ("system_turn", "template", "system turn"),
    ("shifted", "logprobs", "another position"),
    ("no_schema", "schema", "engine.guided"),
])  # fmt: skip
def test_a_planted_mismatch_is_found_with_its_cure(check: Check, quirk: str, name: str, cure: str) -> None:
    failures = {it.name: it for it in check(quirk).failures}
    assert name in failures
    assert cure in f"{failures[name].detail} {failures[name].cure}"


def test_answers_that_part_late_are_no_mismatch(check: Check) -> None:
    (found,) = (it for it in check("rounding").checks if it.name == "deterministic")
    assert found.outcome == "held"
    assert "rounding decides" in found.detail


def test_a_key_that_is_missing_is_found(check: Check) -> None:
    (failure,) = check(key="open sesame").failures
    assert "401" in failure.detail


def test_a_context_that_is_too_short_is_found(check: Check) -> None:
    (failure,) = check(context=48).failures
    assert failure.name == "context"
    assert "the critic up to" in failure.detail


def test_another_tokenizer_is_found(check: Check, novice: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        (other / name).write_text((novice / name).read_text())
    (other / "chat_template.jinja").write_text((novice / "chat_template.jinja").read_text().replace("Q", "QQ"))
    failures = {it.name for it in check(tokenizer=str(other)).failures}
    assert "template" in failures


def test_other_weights_are_found(check: Check, novice: Path) -> None:
    (failure,) = check(weights=str(novice.with_name("novice-b"))).failures
    assert failure.name == "weights"
    assert "apart from" in failure.detail
    assert "other weights are served" in failure.cure


def test_what_cannot_be_checked_is_said_to_be(check: Check) -> None:
    found = {it.name: it.outcome for it in check(tokenizer=None, context=None, guided=False, weights=None).checks}
    assert found == {
        "answers": "held", "length": "held", "deterministic": "held", "template": "skipped", "logprobs": "skipped",
        "weights": "skipped", "schema": "skipped", "context": "skipped",
    }  # fmt: skip


def test_the_embedded_engine_is_what_it_seems(novice: Path, tmp_path: Path, check: Check) -> None:  # noqa: ARG001
    ref = TutorRef(
        str(tmp_path / "tutor.yaml"), str(novice), fingerprint_model(str(novice)), TransformersEngineConfig(),
        str(tmp_path / "cache"),
    )  # fmt: skip
    values = usual_values("add_2", SKILL, "27+58", "#")
    found = preflight(PreflightRequest(ref, values, values))
    assert found.failures == ()
