"""Students to learn with: one small enough to reckon with by hand, and the one that ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from random import Random
from types import SimpleNamespace
from typing import Any

import items
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.making import demonstration
from tft.config.cards import GraderConfig
from tft.config.training import TrainingConfig
from tft.records import Lesson, digest
from tft.training.learner import Learner, Predictions
from tft.training.objective import Setting, Step
from tft.training.rows import Row

LONGEST = 24
"""Tokens an answer."""


def expect(table_VV: torch.Tensor, rows: Sequence[Row]) -> Predictions:
    """Predict with the smallest language model: the logits of the next token depend on the last one alone."""
    places = [
        (number, row.tokens[place - 1], row.tokens[place])
        for number, row in enumerate(rows)
        for place in range(row.start, len(row.tokens))
    ]
    row_N, read_N, labels_N = torch.tensor(places).T
    return Predictions(rows, table_VV[read_N], labels_N, row_N, lambda states: states, table_VV.shape[1])


def loss_of(step: Step, table_VV: torch.Tensor) -> torch.Tensor:
    """Give the loss of a whole step, as the loop divides it."""
    return step.loss(expect(table_VV, step.rows)) / step.weight


def small_learner(vocabulary: int = 2) -> Any:
    """Stand in for the learner where only its size is asked for."""
    config = SimpleNamespace(hidden_size=vocabulary)
    model = SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: config))
    return SimpleNamespace(model=model, device=torch.device("cpu"))


def setting(learner: Learner | None = None, **changes: Any) -> Setting:
    """Make what an objective may use; a learner is needed only where it is asked."""
    training = TrainingConfig(batch_size=changes.pop("batch_size", 8), epochs=changes.pop("epochs", 1))
    made = Setting(learner or small_learner(), training, 3, LONGEST, GraderConfig(type="numeric", marker="#"))
    return replace(made, **changes)


def move(model: Any, by: float = 0.02, seed: int = 1) -> None:
    """Let a student have learned something: move every weight that is trained at random."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(by * torch.randn(weight.shape, generator=generator))


def gradient(learner: Learner, loss: torch.Tensor, *, keep: bool = False) -> torch.Tensor:
    """Give the gradient of a loss in all weights, end to end; and keep the way there where others go it too."""
    found = torch.autograd.grad(loss, learner.weights, allow_unused=True, retain_graph=keep)
    return torch.cat([
        torch.zeros(weight.numel()) if it is None else it.flatten()
        for weight, it in zip(learner.weights, found, strict=True)
    ])  # fmt: skip


def preferences(count: int, skill: str = "add_2") -> list[Lesson]:
    """Make pairs: the right work, and a result that is wrong, in fewer words."""
    lessons = []
    for question in islice(items.draw(skill, Random(1)), count):
        lesson = demonstration(question)
        wrong = f"#{items.classify(question)[2]}1"  # type: ignore[index]
        lessons.append(replace(lesson, id=digest([lesson.id, wrong]), kind="preference", examples=(), rejected=wrong))
    return lessons


def practices(count: int, skill: str = "add_1", kind: str = "practice") -> list[Lesson]:
    """Make lessons whose question the student answers itself."""
    lessons = [demonstration(question) for question in islice(items.draw(skill, Random(1)), count)]
    return [replace(lesson, id=digest([lesson.id, kind]), kind=kind, examples=()) for lesson in lessons]


def in_two(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """Write rows as trainers of TRL do: prompts padded on the left, completions on the right."""
    head, tail = max(row.start for row in rows), max(row.learned for row in rows)
    made: dict[str, list[list[int]]] = {
        name: [] for name in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
    }
    for row in rows:
        before, after = [0] * (head - row.start), [0] * (tail - row.learned)
        made["prompt_ids"].append([*before, *row.tokens[: row.start]])
        made["prompt_mask"].append([*before, *[1] * row.start])
        made["completion_ids"].append([*row.tokens[row.start :], *after])
        made["completion_mask"].append([*[1] * row.learned, *after])
    return {name: torch.tensor(values) for name, values in made.items()}


def spell_bytes(*merges: tuple[str, str]) -> PreTrainedTokenizerFast:
    """Make a tokenizer that knows bytes, and the pairs of tokens that it is given; what is not ASCII takes several."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["</s>", *alphabet, *(one + other for one, other in merges)]
    made = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, list(merges)))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken("</s>")])
    template = "{% for it in messages %}{{ it['content'] }}\n{% endfor %}"
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>", pad_token="</s>", chat_template=template)


def tutor_of(engine: Any, roles: Sequence[str] = ()) -> Any:
    """Stand in for a tutor that runs on an engine, and is asked plainly."""
    return SimpleNamespace(card=SimpleNamespace(roles=roles), engine=engine)
