"""Preflight: what silently goes wrong between a campaign and the model that teaches it, found before it costs anything.

A tutor that is served may differ from what the campaign believes of it: another chat template, another tokenizer,
log-probabilities of something else, a schema nobody reads. None of that raises; it only teaches badly. Each check
asks the engine for something whose answer is known, and names the cure where it differs.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tft.config.campaign import TransformersEngineConfig
from tft.config.cards import Role, RoleCard
from tft.config.training import DistillationConfig
from tft.errors import PrerequisiteError, StageError
from tft.ports import Sampling
from tft.tutor.forms import read_answer
from tft.tutor.roles import Tutor, TutorRef, open_tutor

if TYPE_CHECKING:
    from tft.ports import Engine
    from tft.records import Message

_TOLERANCE = 0.02
"""Nats a token that two ways of taking a log-probability may differ by: bfloat16 rounds a few thousandths."""
_WEIGHTS_TOLERANCE = 0.05
"""The same between two engines, which round in other places."""
_LOADED = 2 << 30
"""Bytes of weights that are loaded for one comparison, at most."""
_YES = RoleCard.model_validate({
    "prompt": "none",
    "schema": {"type": "object", "properties": {"answer": {"type": "string", "enum": ["yes"]}},
               "required": ["answer"], "additionalProperties": False},
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class PreflightRequest:
    """A tutor, and what it will be asked."""

    tutor: TutorRef
    values: dict[Role, dict[str, Any]]
    """Values for the prompts of its roles, of the usual length."""
    longest: dict[Role, dict[str, Any]]
    """The same, as long as they get."""
    feedback: DistillationConfig | None = None
    """What students learn from its probabilities; None where it is asked for none."""


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found."""

    name: str
    outcome: Literal["held", "failed", "skipped"]
    detail: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What all checks found."""

    checks: tuple[Check, ...]

    @property
    def failures(self) -> tuple[Check, ...]:
        """Those that failed."""
        return tuple(check for check in self.checks if check.outcome == "failed")


def preflight(request: PreflightRequest) -> Preflight:
    """Check a tutor; a tutor that cannot be asked at all fails the first check, and the others are left out.

    Raises:
        PrerequisiteError: if its engine cannot be opened.
    """
    tutor = open_tutor(request.tutor)
    prompts = {role: tutor.conversation(role, values) for role, values in request.values.items()}
    role: Role = "demonstrator" if "demonstrator" in prompts else next(iter(prompts))
    checks = [_answers(tutor, list(prompts.values()))]
    if checks[0].outcome == "held":
        prompt, longest = prompts[role], tutor.card.roles[role].max_tokens
        checks += [
            _ends_where_told(tutor.engine, prompt),
            _is_deterministic(tutor, list(prompts.values())),
            _counts_alike(tutor.engine, list(prompts.values())),
            _scores_alike(tutor.engine, prompt, longest),
            _weights_alike(tutor, request.tutor, prompt, longest),
            _keeps_schema(tutor, prompt),
            _has_room(tutor, request.longest),
        ]
        if request.feedback is not None:
            checks.append(_gives_feedback(tutor.engine, prompt, request.feedback))
    return Preflight(tuple(checks))


def _answers(tutor: Tutor, prompts: list[tuple[Message, ...]]) -> Check:
    try:
        found = tutor.engine.generate(prompts[:1], Sampling(16))
    except (PrerequisiteError, StageError) as error:
        return Check("answers", "failed", str(error), "mend what it says, then run the same command")
    if found[0].tokens == 0:
        return Check("answers", "failed", "an answer had no tokens", "look at the server: it generates nothing")
    return Check("answers", "held", f"{found[0].tokens} tokens")


def _ends_where_told(engine: Engine, prompt: tuple[Message, ...]) -> Check:
    """A server that overlooks ``max_tokens`` overruns every budget; one that hides it teaches broken answers."""
    (found,) = engine.generate([prompt], Sampling(1))
    if found.tokens > 1:
        return Check("length", "failed", f"was allowed 1 token and wrote {found.tokens}",
                     "the server overlooks max_tokens: take one that does not")  # fmt: skip
    if found.finished and found.text:
        return Check("length", "failed", "an answer that was cut off is said to be complete",
                     "its finish_reason must be length: cut answers would be taught as whole ones")  # fmt: skip
    return Check("length", "held", "an answer of one token is said to be cut off")


def _is_deterministic(tutor: Tutor, prompts: list[tuple[Message, ...]]) -> Check:
    """A server that samples, or is several models, parts soon and nearly always; one that rounds, late and seldom."""
    first, second = (tutor.engine.generate(prompts, Sampling(48)) for _ in range(2))
    pairs = [(one.text, other.text) for one, other in zip(first, second, strict=True)]
    differ = sum(one != other for one, other in pairs)
    soon = sum(one[: len(one) // 2] != other[: len(one) // 2] for one, other in pairs)
    if soon > len(pairs) / 2:
        return Check("deterministic", "failed", f"{soon} of {len(pairs)} answers soon part when asked again at "
                     "temperature 0", "serve one model, not a mixture, and without sampling overrides")  # fmt: skip
    if differ:
        return Check("deterministic", "held", f"{differ} of {len(pairs)} answers at temperature 0 part when asked "
                     "again: which words are as good as equal, rounding decides")  # fmt: skip
    return Check("deterministic", "held", f"{len(pairs)} answers at temperature 0, twice the same")


def _counts_alike(engine: Engine, prompts: list[tuple[Message, ...]]) -> Check:
    if not engine.counts_exactly:
        return Check("template", "skipped", "no tokenizer here: name one in engine.tokenizer to compare")
    there = [found.prompt_tokens for found in engine.generate(prompts, Sampling(1))]
    here = engine.count(prompts)
    if there != here:
        return Check("template", "failed", f"prompts have {here} tokens here and {there} there",
                     "engine.tokenizer must be that of the served model, with the same chat template: look for a "
                     "system turn or a thinking mode that the server adds")  # fmt: skip
    return Check("template", "held", f"{len(prompts)} prompts have the same tokens here and there")


def _scores_alike(engine: Engine, prompt: tuple[Message, ...], tokens: int) -> Check:
    try:
        (written,) = engine.generate([prompt], Sampling(tokens, logprobs=True))
        if written.logprob is None or not written.finished:
            return Check("logprobs", "skipped", "it gives no log-probability of an answer that ended")
        (scored,) = engine.score([prompt], [written.text])
    except PrerequisiteError as error:
        return Check("logprobs", "skipped", str(error))
    if len(scored.tokens) != written.tokens:
        # Not a fault: a text may be written in more than one way. Another tokenizer shows in the prompts.
        return Check("logprobs", "skipped", f"an answer of {written.tokens} tokens is read back as "
                     f"{len(scored.tokens)} others")  # fmt: skip
    apart = abs(sum(scored.logprobs) - written.logprob) / max(1, written.tokens)
    if apart > _TOLERANCE:
        return Check("logprobs", "failed", f"an answer scores {apart:.2f} nats a token apart from when it was written",
                     "look for log-probabilities of another position or model, or after temperature")  # fmt: skip
    return Check("logprobs", "held", f"{apart:.4f} nats a token apart")


def _gives_feedback(engine: Engine, prompt: tuple[Message, ...], config: DistillationConfig) -> Check:
    """Ask for what students will learn from, which other campaigns can do without."""
    wanted = 0 if config.divergence == "sampled" else config.top_k
    try:
        (head,) = engine.encode([prompt])
        if wanted == 0:
            engine.logprobs([head])
            return Check("feedback", "held", "it gives the log-probabilities of tokens")
        (found,) = engine.top_logprobs([head], [1], wanted)
    except PrerequisiteError as error:
        return Check("feedback", "failed", f"methods: feedback needs log-probabilities of given tokens: {error}",
                     "serve it with `tft serve` or vLLM (--max-logprobs as many as "
                     "training.objectives.feedback.top_k), or take tuition.methods: critique")  # fmt: skip
    told = int(np.isfinite(found.logprobs).sum(axis=1).min())
    if wanted is not None and told < min(wanted, _words(engine)):
        return Check("feedback", "failed", f"it gives {told} likeliest tokens a place, and "
                     f"training.objectives.feedback.top_k is {wanted}",
                     f"serve it with more (vLLM: --max-logprobs {wanted}), or set top_k to {told}")  # fmt: skip
    return Check("feedback", "held", f"it gives the {told} likeliest tokens a place")


def _words(engine: Engine) -> int:
    """Give the size of the vocabulary, which no answer can exceed."""
    return sys.maxsize if engine.tokenizer is None else len(engine.tokenizer)


def _weights_alike(tutor: Tutor, ref: TutorRef, prompt: tuple[Message, ...], tokens: int) -> Check:
    """Score an answer with the weights that lie here: who serves others, or rounds them, differs."""
    if ref.weights_path is None:
        return Check("weights", "skipped", "there are no weights here to compare with")
    size = sum(path.stat().st_size for path in Path(ref.weights_path).glob("*.safetensors"))
    if size > _LOADED:
        return Check("weights", "skipped", f"{size / (1 << 30):.0f} GiB of weights are too many to load beside it")
    from tft.engines.transformers import TransformersEngine

    (written,) = tutor.engine.generate([prompt], Sampling(tokens))
    config = TransformersEngineConfig(template=ref.engine.template)
    try:
        (there,) = tutor.engine.score([prompt], [written.text])
        (here,) = TransformersEngine.open(ref.weights_path, "", config).score([prompt], [written.text])
    except (PrerequisiteError, RuntimeError) as error:  # a GPU that is full is a RuntimeError
        return Check("weights", "skipped", str(error))
    apart = sum(abs(one - other) for one, other in zip(there.logprobs, here.logprobs, strict=True)) / len(here.tokens)
    if apart > _WEIGHTS_TOLERANCE:
        return Check("weights", "failed", f"an answer scores {apart:.2f} nats a token apart from {ref.weights_path}",
                     "other weights are served, or the same ones rounded: serve these, or name what is served in "
                     "tutor.model")  # fmt: skip
    return Check("weights", "held", f"{apart:.4f} nats a token apart from {Path(ref.weights_path).name}")


def _keeps_schema(tutor: Tutor, prompt: tuple[Message, ...]) -> Check:
    schemas = {role: it.answer_schema for role, it in tutor.card.roles.items() if it.answer_schema is not None}
    if not schemas:
        return Check("schema", "skipped", "no role of this tutor answers in JSON")
    if not tutor.engine.guided:
        return Check("schema", "skipped", "this engine cannot hold a model to a schema; answers are read strictly")
    (found,) = tutor.engine.generate([prompt], Sampling(64, schema=_YES.answer_schema))
    read = read_answer(_YES, found)
    if read.fields is None:
        return Check("schema", "failed", f"asked for a schema, it answered {found.text[:80]!r}: {read.detail}",
                     "serve it with structured output, or set engine.guided to false")  # fmt: skip
    for role, schema in schemas.items():
        try:
            tutor.engine.generate([prompt], Sampling(1, schema=schema))
        except (PrerequisiteError, StageError) as error:
            return Check("schema", "failed", f"the schema of the {role} is refused: {error}",
                         "write it with what the engine's grammar knows, or set engine.guided to false")  # fmt: skip
    return Check("schema", "held", f"an answer keeps to its schema, and those of {len(schemas)} roles are taken")


def _has_room(tutor: Tutor, longest: dict[Role, dict[str, Any]]) -> Check:
    if tutor.engine.context is None:
        return Check("context", "skipped", "nobody here knows it: name it in engine.context to compare")
    room = {
        role: tutor.engine.count([tutor.conversation(role, values)])[0] + tutor.card.roles[role].max_tokens
        for role, values in longest.items()
    }
    tight = {role: tokens for role, tokens in room.items() if tokens > tutor.engine.context}
    if tight:
        wanted = ", ".join(f"the {role} up to {tokens}" for role, tokens in tight.items())
        return Check("context", "failed", f"it has {tutor.engine.context} tokens, and {wanted}",
                     "serve it with a longer context, or lower max_tokens or longest_attempt in its card")  # fmt: skip
    return Check("context", "held", f"{tutor.engine.context} tokens, {max(room.values())} are needed")
