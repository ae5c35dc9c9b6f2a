"""Roll-outs: the student writes answers to the questions of lessons, to learn from what it wrote."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tft.ports import Sampling
from tft.records import Item, make_seed
from tft.training.rows import Row, encode_answers

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from tft.engines.transformers import Sampled
    from tft.records import Lesson
    from tft.training.objective import Setting


@dataclass(frozen=True, slots=True)
class Written:
    """One answer, as text and as tokens."""

    item: Item
    row: Row
    text: str
    finished: bool
    """False where the length limit cut it off."""

    @property
    def question(self) -> str:
        """What was asked."""
        return self.item.question


def cut(lessons: Sequence[Lesson], size: int, passes: int, rng: random.Random) -> list[list[Lesson]]:
    """Cut lessons into units in random order, anew for each pass; every lesson once a pass."""
    units = []
    for _ in range(passes):
        order = list(lessons)
        rng.shuffle(order)
        units += [order[start : start + size] for start in range(0, len(order), size)]
    return units


def write(
    lessons: Sequence[Lesson], setting: Setting, temperature: float, on_policy: float = 1.0, times: int = 1
) -> list[Written]:
    """Let the student answer the questions of lessons, as it is now.

    Args:
        lessons: each has a question, and an answer that the grader passed.
        setting: has the student.
        temperature: at which it writes.
        on_policy: share of the answers it writes; for the others the lesson's own answer is taken, evenly spread.
        times: answers a question, one after the other in what is given back.
    """
    asked = [lesson for lesson in lessons for _ in range(times)]
    # Every lesson once more, and how often that reaches the next whole number.
    own = [int((place + 1) * on_policy) > int(place * on_policy) for place in range(len(asked))]
    mine = [lesson for lesson, it in zip(asked, own, strict=True) if it]
    tokenizer = setting.learner.tokenizer
    prompts = setting.learner.write_questions([lesson.item.question for lesson in mine])
    sampling = Sampling(setting.max_tokens, temperature)
    seeds = _seeds(mine, setting)
    begun = list(zip(prompts, seeds, strict=True))
    sampled = iter(setting.workers.each(begun, partial(_go_on, setting, sampling)) if mine else [])
    heads = iter(prompts)
    written = []
    for lesson, it in zip(asked, own, strict=True):
        if it:
            head, answer = next(heads), next(sampled)
            row = Row((*head, *answer.tokens), len(head), lesson.item.skill)
            text = tokenizer.decode(answer.tokens, skip_special_tokens=True)
            written.append(Written(lesson.item, row, text, answer.finished))
        else:
            (row,) = encode_answers([lesson], tokenizer)
            written.append(Written(lesson.item, row, lesson.answer, True))
    return written


def _go_on(setting: Setting, sampling: Sampling, asked: Sequence[tuple[list[int], int]]) -> Sequence[Sampled]:
    prompts, seeds = [prompt for prompt, _ in asked], [seed for _, seed in asked]
    return setting.learner.sample(prompts, sampling, seeds)


def _seeds(lessons: Sequence[Lesson], setting: Setting) -> list[int]:
    """Give every answer a seed of its own: a question that is asked again is answered anew."""
    asked = setting.asked
    seeds = []
    for lesson in lessons:
        asked[lesson.id] += 1
        seeds.append(make_seed([setting.seed, lesson.id, asked[lesson.id]]))
    return seeds
