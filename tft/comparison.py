"""Finished runs side by side: who answered what better at the end, what it cost, and how the configs differ.

Where two sittings asked the same questions, the answers are paired: McNemar's exact test, and an interval that knows
of the pairs. Where they did not, the two are independent samples, and it is said so. All p-values of one comparison
are corrected together (Holm).

Left out on purpose: which run is better. Skills, costs and seeds are weighed by whoever reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tft.errors import Problem, UserError
from tft.exams import effective_counts, measure_change, measure_score
from tft.ledger import Ledger
from tft.records import Answered
from tft.report import build_report, final_answers
from tft.report.rows import flatten
from tft.statistics import fisher, holm, independent_difference, mean_difference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

MEAN = "mean of taught skills"
_NOT_COMPARED = ("campaign", "cache", "cluster", "continue_from", "tracking", "tutor.price",
                 "training.checkpoint_activations")  # fmt: skip
"""Keys of a config that change no result, or only name the run."""


@dataclass(frozen=True, slots=True)
class _Run:
    label: str
    report: dict[str, Any]
    answers: dict[str, dict[str, list[Answered]]]
    """By student, and by skill or whole exam."""

    def taught(self) -> set[str]:
        return {skill["name"] for skill in self.report["skills"] if skill["role"] == "taught"}


@dataclass(frozen=True, slots=True)
class _Side:
    run: _Run
    student: str

    @property
    def answers(self) -> dict[str, list[Answered]]:
        return self.run.answers[self.student]


def compare(folders: Sequence[Path]) -> dict[str, Any]:
    """Compare runs: each with the first, student by student; the students of a single run with each other.

    Args:
        folders: run directories.

    Returns:
        ``runs`` with costs and scores, ``config`` where the configs differ, and ``comparisons``.

    Raises:
        UserError: if a run has no final exam yet, or there is nothing to compare.
    """
    runs = [_read(folder, label) for folder, label in zip(folders, _labels(folders), strict=True)]
    rows = [row for first, second in _pairs(runs) for row in _compare(first, second)]
    if not rows:
        remedy = "name runs whose students have the same ids and sat the same exams, or one run with several students"
        raise UserError(Problem("there is nothing to compare", key="RUN", value=str(folders[-1]), remedy=remedy))
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["corrected"] = p
    return {
        "schema": 1,
        "runs": [_cost(run) for run in runs],
        "config": list(_differences(runs)),
        "comparisons": rows,
    }


def _labels(folders: Sequence[Path]) -> list[str]:
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _read(folder: Path, label: str) -> _Run:
    ledger = Ledger(folder)
    try:
        found = _Run(label, build_report(ledger), final_answers(ledger)) if ledger.fact("setting") else None
    finally:
        ledger.close()
    if found is None or not all(found.answers.values()):
        remedy = "run it to the end with `tft run`"
        raise UserError(Problem("has no final exam at its end yet", key="RUN", value=str(folder), remedy=remedy))
    return found


def _pairs(runs: Sequence[_Run]) -> Iterator[tuple[_Side, _Side]]:
    first, *others = runs
    if not others:
        for one, other in combinations(first.answers, 2):
            yield _Side(first, one), _Side(first, other)
    for student in first.answers:
        for run in others:
            if student in run.answers:
                yield _Side(first, student), _Side(run, student)


def _compare(first: _Side, second: _Side) -> Iterator[dict[str, Any]]:
    """Compare two students on every exam that both have sat, and on the mean of what both were to be taught."""
    who = (_name(first), _name(second))
    paired: list[tuple[list[bool], list[bool]]] = []
    taught = first.run.taught() & second.run.taught()
    for exam in (exam for exam in first.answers if exam in second.answers):
        one, other = (sorted(side.answers[exam], key=_question) for side in (first, second))
        sat = measure_score(one), measure_score(other)
        if list(map(_question, one)) == list(map(_question, other)):
            paired += [(_marks(one), _marks(other))] if exam in taught else []
            change = measure_change(one, other)
            assert change is not None
            yield _row(who, exam, sat, change["value"], change["low"], change["high"], change["p"], paired=True)
        else:
            counts = effective_counts(one), effective_counts(other)
            p = fisher(*((round(right), round(n)) for right, n in counts))
            yield _row(who, exam, sat, *independent_difference(*counts), p, paired=False)
    if len(paired) > 1 and len(paired) == len(taught):
        means = [{"score": sum(sum(pair[side]) / len(pair[side]) for pair in paired) / len(paired)} for side in (0, 1)]
        yield _row(who, MEAN, means, *mean_difference(paired), paired=True)


def _name(side: _Side) -> dict[str, str]:
    return {"run": side.run.label, "student": side.student}


def _question(answered: Answered) -> str:
    return answered.attempt.item.question


def _marks(answers: Sequence[Answered]) -> list[bool]:
    return [it.verdict.passed for it in answers]


def _row(
    who: tuple[dict[str, str], dict[str, str]], exam: str, sat: Sequence[dict[str, Any]], value: float, low: float,
    high: float, p: float, *, paired: bool,
) -> dict[str, Any]:  # fmt: skip
    return {
        "first": {**who[0], **sat[0]}, "second": {**who[1], **sat[1]}, "exam": exam, "difference": value, "low": low,
        "high": high, "p": p, "paired": paired,
    }  # fmt: skip


def _cost(run: _Run) -> dict[str, Any]:
    report = run.report
    return {
        "run": run.label,
        "seed": report["seed"],
        "stopped_because": report["stopped_because"],
        "seconds": report["seconds"],
        "tutor_tokens": report["tutor"]["tokens"]["total"],
        "of_which_cached": report["tutor"]["tokens"]["of_which_cached"],
        "students": {it["id"]: _scores(it) for it in report["students"]},
    }


def _scores(student: dict[str, Any]) -> dict[str, Any]:
    exams = {**student["skills"], **student["whole"]}
    return {
        "trained_tokens": student["trained_tokens"],
        "stopped_because": student["stopped_because"],
        "exams": {name: {when: it[when] for when in ("before", "after")} for name, it in exams.items()},
    }


def _differences(runs: Sequence[_Run]) -> Iterable[dict[str, Any]]:
    """List the keys in which the configs differ, with the value of every run; null where a run has no such key."""
    configs = [dict(flatten(_by_student(run.report["config"]))) for run in runs]
    for key in dict.fromkeys(key for config in configs for key in config):
        values = [config.get(key) for config in configs]
        if len(set(values)) > 1 and not any(f"{key}.".startswith(f"{it}.") for it in _NOT_COMPARED):
            yield {"key": key, "values": values}


def _by_student(config: dict[str, Any]) -> dict[str, Any]:
    """Key students by their ids, so that a roster in another order is no difference."""
    return {**config, "students": {it["id"]: it for it in config["students"]}}
