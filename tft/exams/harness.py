"""Tasks of the Language Model Evaluation Harness as whole exams: lm-eval asks, scores and filters.

Its own class runs the student, so that tokens, stop sequences and log-probabilities are those of its own command. One
sitting is one task there, or a group of them; the verdicts are those of the first metric that says right or wrong of
every question. Left out on purpose: metrics of a whole text, such as perplexity and BLEU.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import islice
from numbers import Real
from typing import TYPE_CHECKING, Any

from tft.config.adapters import FullAdapter
from tft.exams.tasks import GRADER, TaskRef, load_tasks
from tft.records import Answered, Attempt, Item, Sitting, Verdict
from tft.student import StudentRef
from tft.student.models import merge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """One student, one task."""

    student: StudentRef
    exam: str
    items: tuple[Item, ...]
    """In the order of the task; of a group, task by task."""
    task: TaskRef


def sit_task(request: TaskRequest) -> Sitting:
    """Let a student sit a task, as ``lm_eval --model hf`` would."""
    import numpy as np
    from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
    from lm_eval.evaluator import evaluate
    from lm_eval.utils import set_torch_seed

    card = request.task.card
    model = _open(request.student, card.batch_size)
    if isinstance(model, str):
        return Sitting(request.exam, (), sat=False, reason=f"lm-eval cannot run this student: {model}")
    tasks = load_tasks(request.task.task_path, card)
    if isinstance(tasks, str):
        return Sitting(request.exam, (), sat=False, reason=tasks)
    random.seed(DEFAULT_RANDOM_SEED)
    np.random.seed(DEFAULT_OTHER_SEED)
    set_torch_seed(DEFAULT_OTHER_SEED)
    for task in tasks.values():
        task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
    found = evaluate(
        lm=model, task_dict={"tasks": tasks, "groups": {}}, limit=request.task.limit, bootstrap_iters=0,
        apply_chat_template=card.chat_template, fewshot_as_multiturn=card.chat_template,
    )  # fmt: skip
    items = iter(request.items)
    answers: list[Answered] = []
    for name, task in tasks.items():
        samples, measured = found["samples"][name], found["results"][name]
        chosen = _choose_metric(samples, measured, found["higher_is_better"].get(name, {}))
        if chosen is None:
            known = ", ".join(samples[0]["metrics"])
            said = f"no metric of {name} says right or wrong of every question: {known}"
            return Sitting(request.exam, (), sat=False, reason=said)
        rows = sorted((it for it in samples if it["filter"] == chosen[1]), key=lambda it: it["doc_id"])
        pairs = zip(rows, islice(items, len(rows)), strict=True)
        answers += [_answer(model, task, row, item, *chosen) for row, item in pairs]
    return Sitting(request.exam, tuple(answers))


def _choose_metric(
    samples: Sequence[Mapping[str, Any]], measured: Mapping[str, Any], higher: Mapping[str, bool]
) -> tuple[str, str] | None:
    """Choose the first metric, and the first filter, that says right or wrong of every question and whose mean is what
    lm-eval reports.
    """
    for name in samples[0]["metrics"]:
        for kind in dict.fromkeys(it["filter"] for it in samples):
            values = [it[name] for it in samples if it["filter"] == kind]
            binary = all(isinstance(it, Real) and it in (0, 1) for it in values)
            reported = measured.get(f"{name},{kind}")
            if binary and higher.get(name, True) and math.isclose(sum(values) / len(values), float(reported or 0.0)):
                return name, kind
    return None


def _answer(model: Any, task: Any, row: Mapping[str, Any], item: Item, metric: str, kind: str) -> Answered:
    verdict = Verdict(float(row[metric]), f"{metric} is {row[metric]:g}, filter {kind}", GRADER)
    if task.OUTPUT_TYPE == "generate_until":
        text = str(row["filtered_resps"][0])
        return Answered(Attempt(item, text, len(model.tok_encode(row["resps"][0][0]))), verdict)
    if task.OUTPUT_TYPE != "multiple_choice":
        return Answered(Attempt(item, "", 0), verdict)
    options = [str(it) for it in task.doc_to_choice(row["doc"])]
    # There may be more: those of the options without the question.
    likelihoods = [float(it[0]) for it in row["filtered_resps"][: len(options)]]
    place = max(range(len(likelihoods)), key=likelihoods.__getitem__)
    sure = 1 / sum(math.exp(it - likelihoods[place]) for it in likelihoods)
    return Answered(Attempt(item, options[place], 0, confidence=sure), verdict)


def _open(student: StudentRef, batch_size: int) -> Any:
    """Hand a student to lm-eval: by its folder where that is all of it, otherwise merged; or say why that cannot be."""
    import torch
    from lm_eval.models.huggingface import HFLM

    if isinstance(student.adapter, FullAdapter) and student.digest is None and student.chat_template is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return HFLM(pretrained=student.base_path, device=device, batch_size=batch_size)
    merged = merge(student)
    if isinstance(merged, str):
        return merged
    model, tokenizer = merged
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)
