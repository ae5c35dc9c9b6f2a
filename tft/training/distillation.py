"""Token distillation: the student writes, the tutor says what it would have expected, the student moves there.

Agarwal et al. 2024. Prompts may be written differently on the two sides, vocabularies may differ by padding, and with
``sampled`` even the tokenizer may be another: then tutor and student are compared over the stretches of text that end
where a token ends in both. How far the student has moved since it wrote is noted as ``staleness``, in steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from tft.errors import Problem, StageError, UserError
from tft.training.divergence import divergence
from tft.training.objective import Setting, Step
from tft.training.policy import by_rows
from tft.training.rollouts import cut, write
from tft.training.rows import Row, count_learned

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from transformers import PreTrainedTokenizerBase

    from tft.config.training import DistillationConfig
    from tft.records import Lesson
    from tft.training.learner import Predictions
    from tft.training.rollouts import Written
    from tft.tutor import Scorer
    from tft.tutor.scoring import Spelled


@dataclass(frozen=True)
class Scored(Row):
    """An answer with what the tutor expected."""

    ids: np.ndarray | None
    """[T, K]: the likeliest tokens; None where the whole vocabulary is told in its order."""
    expected: np.ndarray
    """[T, K]: their log-probabilities; with ``sampled`` [T], the tutor's lead over the student at each token."""


class Distillation:
    """Learns from the tutor's probabilities."""

    modules: tuple[torch.nn.Module, ...] = ()

    def __init__(self, config: DistillationConfig, setting: Setting) -> None:
        if setting.scorer is None:
            raise StageError("token distillation needs a tutor that scores tokens, and this one gives text only")
        self._config = config
        self._setting = setting
        self._scorer: Scorer = setting.scorer
        self._shared = refuse_tokens(config, self._scorer, setting.learner.tokenizer)

    def units(self, lessons: Sequence[Lesson], rng: random.Random) -> list[list[Lesson]]:
        """Cut lessons into roll-outs, anew for each pass."""
        size = self._setting.training.batch_size * self._config.steps_a_roll_out
        return cut(lessons, size, self._config.epochs or 1, rng)

    def steps(self, unit: list[Lesson]) -> Iterator[Step]:
        """Let the student write and the tutor score, and learn from it in one or several steps."""
        rows = self._score(write(unit, self._setting, self._config.temperature, self._config.on_policy))
        size = self._setting.training.batch_size
        loss = _sampled_loss if self._config.divergence == "sampled" else partial(_loss, self._config)
        for stale, start in enumerate(range(0, len(rows), size)):
            self._setting.note("staleness", stale)
            part = rows[start : start + size]
            yield Step(part, loss, count_learned(part))

    def _score(self, written: list[Written]) -> list[Scored]:
        questions, answers = [it.question for it in written], [it.row.tokens[it.row.start :] for it in written]
        if self._config.divergence == "sampled":
            return self._score_sampled(written, questions, answers)
        tops, usage = self._scorer.top(questions, answers, self._config.top_k)
        self._setting.used.append(usage)
        # An engine that sorts what it tells of the whole vocabulary says which tokens they are.
        in_order = self._config.top_k is None and all((it.ids == np.arange(it.ids.shape[1])).all() for it in tops)
        return [
            Scored(it.row.tokens, it.row.start, it.row.skill, None if in_order else top.ids, top.logprobs)
            for it, top in zip(written, tops, strict=True)
        ]

    def _score_sampled(
        self, written: list[Written], questions: list[str], answers: list[tuple[int, ...]]
    ) -> list[Scored]:
        learner = self._setting.learner
        own = self._setting.workers.each(
            [it.row for it in written],
            lambda rows: by_rows(rows, learner.ask(rows, lambda found: found.logprobs())),
        )
        if self._shared:
            given, usage = self._scorer.chosen(questions, answers)
            leads = [np.asarray(tutor, np.float32) - mine for tutor, mine in zip(given, own, strict=True)]
        else:
            texts = [it.text for it in written]
            spelled, usage = self._scorer.spell(questions, texts, [it.finished for it in written])
            tokenizer = self._setting.learner.tokenizer
            leads = [
                lead_by_stretch(where_tokens_end(tokenizer, answer, it.text, it.finished), mine, theirs)
                for it, answer, mine, theirs in zip(written, answers, own, spelled, strict=True)
            ]
        self._setting.used.append(usage)
        self._setting.note("reverse_kl", -float(np.concatenate(leads).mean()))
        return [
            Scored(it.row.tokens, it.row.start, it.row.skill, None, lead)
            for it, lead in zip(written, leads, strict=True)
        ]


def refuse_tokens(config: DistillationConfig, scorer: Scorer, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Make sure that what is compared is the same on both sides; say whether tutor and student share their tokens.

    Raises:
        UserError: if they do not, and tokens are compared.
    """
    shared = scorer.shares_tokens(tokenizer)
    if not shared and config.divergence != "sampled":
        message = "compares tokens, and tutor and student have different tokenizers"
        key = "training.objectives.feedback.divergence"
        remedy = "write feedback: {type: distillation, divergence: sampled}, which compares stretches of text"
        raise UserError(Problem(message, key=key, value=config.divergence, remedy=remedy))
    return shared


def _loss(config: DistillationConfig, predictions: Predictions) -> torch.Tensor:
    device = predictions.states_NH.device
    rows: list[Scored] = list(predictions.rows)  # type: ignore[arg-type]
    expected = torch.from_numpy(np.concatenate([row.expected for row in rows])).to(device)
    assert config.divergence != "sampled"
    kind = config.divergence
    if any(row.ids is None for row in rows):
        return predictions.fold(
            lambda logits, tutor: divergence(kind, logits, tutor, None, config.mixture), expected
        ).sum()
    ids = torch.from_numpy(np.concatenate([row.ids for row in rows if row.ids is not None])).long().to(device)
    return predictions.fold(
        lambda logits, tutor, tokens: divergence(kind, logits, tutor, tokens, config.mixture), expected, ids
    ).sum()


def _sampled_loss(predictions: Predictions) -> torch.Tensor:
    """Policy gradient of the reverse KL: what the tutor likes better than the student does is made likelier.

    L = −Σ A_t log q(y_t), A_t = log p(y_t) − log q(y_t) as it was written.
    """
    rows: list[Scored] = list(predictions.rows)  # type: ignore[arg-type]
    leads_N = torch.from_numpy(np.concatenate([row.expected for row in rows])).to(predictions.states_NH)
    return -(leads_N * predictions.logprobs()).sum()


def where_tokens_end(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], text: str, whole: bool) -> list[int]:
    """Say where each token of an answer ends, in characters; the token that ends an answer one beyond its text."""
    ends: list[int] = []
    for place in range(1, len(tokens) + 1 - whole):
        part = tokenizer.decode(tokens[:place], skip_special_tokens=True)
        # A token that ends inside a character shows as a sign that is not in the text; it ends with the next that is.
        ends.append(len(part) if text.startswith(part) else -1)
    ends.append(len(text) + 1 if whole else len(text))
    for place in range(len(ends) - 2, -1, -1):
        if ends[place] < 0:
            ends[place] = min(ends[place + 1], len(text))
    return ends if whole else ends[:-1]


def lead_by_stretch(ends: Sequence[int], own: np.ndarray, spelled: Spelled) -> np.ndarray:
    """Give each of a student's tokens the lead of the tutor over the stretch of text it stands in.

    A stretch ends where a token ends on both sides. The lead is the difference of the sums over it, Σ log p − Σ log q,
    shared evenly among the student's tokens in it; with equal tokens it is the difference of each.

    Args:
        ends: where the student's tokens end, in characters.
        own: their log-probabilities; [T].
        spelled: the tutor's.

    Returns:
        [T].

    >>> from tft.tutor.scoring import Spelled
    >>> lead_by_stretch([1, 2, 4], np.array([-1.0, -1.0, -1.0]), Spelled((2, 4), (-3.0, -0.5))).tolist()
    [-0.5, -0.5, 0.5]
    """
    shared = sorted(set(ends) & set(spelled.ends))
    mine = np.searchsorted(ends, shared, side="right").tolist()
    theirs = np.searchsorted(spelled.ends, shared, side="right").tolist()
    lead = np.zeros(len(own), np.float32)
    for (a, b), (c, d) in zip(pairwise([0, *mine]), pairwise([0, *theirs]), strict=True):
        lead[a:b] = (sum(spelled.logprobs[c:d]) - own[a:b].sum()) / (b - a)
    return lead
