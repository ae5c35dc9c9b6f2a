"""How well abacus does each of its roles on items it was not trained on; the figures of its card.

    python -m benchmarks run abacus [items a cell]

One question in sixteen was held out of its training, tables of single digits excepted. Wrong attempts come from
the novices themselves, sampled at temperature 1, and from slips made on purpose; they are never mixed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.results import Row
from tft.config.adapters import FullAdapter
from tft.config.campaign import TutorUse
from tft.library import Library, load_items, shipped
from tft.ports import Sampling
from tft.preparation import find_tutor
from tft.records import Item
from tft.statistics import wilson_interval
from tft.student import StudentRef
from tft.student.models import attempt
from tft.tutor import Tutor, open_tutor

sys.path[:0] = [str(shipped() / "tutors" / "abacus"), str(shipped() / "curricula" / "arithmetic")]
import corpus  # noqa: E402


def open_abacus(cache: str) -> Tutor:
    _, tutor = find_tutor(TutorUse(use="abacus"), Library(), Path(cache))
    return open_tutor(tutor)


def run(options: list[str]) -> list[Row]:
    count = int(options[0]) if options else 512
    with tempfile.TemporaryDirectory() as cache:
        tutor = open_abacus(cache)
        questions = corpus.Questions(corpus.SKILLS, 77, exam=True)
        asked = {skill: [questions.next(skill) for _ in range(count)] for skill in corpus.SKILLS}
        rows = [_demonstrates(tutor, skill, asked[skill]) for skill in corpus.SKILLS]
        rows += _authors(tutor, count)
        wrong = {"slips": _slips(asked), "novices": _novice_attempts(asked)}
        for source, pairs in wrong.items():
            rows += _criticises(tutor, source, pairs)
            rows += _judges(tutor, source, pairs)
        rows.append(_scores(tutor, wrong["slips"]))
    rows += [_knows(name, skill, asked[skill]) for name in ("novice-a", "novice-b") for skill in corpus.SKILLS]
    return rows


def _row(name: str, what: str, right: int, n: int) -> Row:
    low, high = wilson_interval(right, n)
    return Row(name, what, right / n if n else None, "share", low, high, note=f"n = {n}")


def _demonstrates(tutor: Tutor, skill: str, questions: list[str]) -> Row:
    answers = tutor.ask("demonstrator", [{"question": question} for question in questions])
    right = sum(
        fields is not None and corpus.is_right(question, fields["work"])
        for question, fields in zip(questions, answers.fields, strict=True)
    )
    return _row(f"demonstrator-{skill}", "worked answers whose result is right", right, len(questions))


def _authors(tutor: Tutor, count: int) -> list[Row]:
    source = load_items(shipped() / "curricula" / "arithmetic" / "items.py")
    rows = []
    for skill in corpus.SKILLS[3:]:
        orders = [{"skill": skill, "level": 1 + place % 2} for place in range(count)]
        answers = tutor.ask("author", orders, seed=5)
        found = [source.classify(fields["question"]) if fields else None for fields in answers.fields]
        right = sum(
            it is not None and it[0] == order["skill"] and it[1] == order["level"]
            for it, order in zip(found, orders, strict=True)
        )
        different = len({fields["question"] for fields in answers.fields if fields})
        row = _row(f"author-{skill}", "items of the skill and level asked for", right, count)
        rows.append(Row(**{**vars(row), "note": f"n = {count}, {different} different"}))
    return rows


def _slips(asked: dict[str, list[str]]) -> list[tuple[str, str, str]]:
    import random

    rng = random.Random(9)
    return [(skill, question, corpus.slip(question, rng)) for skill, them in asked.items() for question in them]


def _novice_attempts(asked: dict[str, list[str]]) -> list[tuple[str, str, str]]:
    found = []
    for name in ("novice-a", "novice-b"):
        folder = str(shipped() / "tutors" / "abacus" / name)
        student = StudentRef(name, folder, name, FullAdapter())
        items = [Item(skill, 1, question, None, question, "exam") for skill, them in asked.items() for question in them]
        for answer in attempt(student, items, Sampling(64, 1.0, 3)):
            readable = answer.finished and 0 < len(answer.text) <= corpus.LONGEST_ATTEMPT
            if readable and not corpus.is_right(answer.item.question, answer.text):
                found.append((answer.item.skill, answer.item.question, answer.text))
    return found


def _knows(name: str, skill: str, questions: list[str]) -> Row:
    student = StudentRef(name, str(shipped() / "tutors" / "abacus" / name), name, FullAdapter())
    items = [Item(skill, 1, question, None, question, "exam") for question in questions]
    answers = attempt(student, items, Sampling(64))
    right = sum(corpus.is_right(it.item.question, it.text) for it in answers)
    return _row(f"{name}-{skill}", "right answers before any tuition", right, len(answers))


def _criticises(tutor: Tutor, source: str, pairs: list[tuple[str, str, str]]) -> list[Row]:
    answers = tutor.ask("critic", [{"question": question, "attempt": attempt} for _, question, attempt in pairs])
    step = mistake = mended = 0
    for (_, question, wrong), fields in zip(pairs, answers.fields, strict=True):
        gold_step, gold_mistake = corpus.diagnose(question, wrong)
        if fields is not None:
            _, number, name = fields["critique"].split(" ")
            step += int(number) == gold_step
            mistake += int(number) == gold_step and name == gold_mistake
            mended += corpus.is_right(question, fields["revision"])
    return [
        _row(f"critic-step-{source}", "critiques that name the first wrong step", step, len(pairs)),
        _row(f"critic-mistake-{source}", "critiques that name the step and the mistake", mistake, len(pairs)),
        _row(f"critic-mends-{source}", "critiques whose better attempt is right", mended, len(pairs)),
    ]


def _judges(tutor: Tutor, source: str, pairs: list[tuple[str, str, str]]) -> list[Row]:
    import items

    orders = [
        {"question": question, "first": right if swapped else wrong, "second": wrong if swapped else right}
        for _, question, wrong in pairs
        for right in [items.work(question)]
        for swapped in (False, True)
    ]
    answers = tutor.ask("judge", orders)
    said = [fields["winner"] if fields else None for fields in answers.fields]
    single = sum(
        it == ("first" if corpus.is_right(order["question"], order["first"]) else "second")
        for it, order in zip(said, orders, strict=True)
    )
    both = sum((a, b) == ("second", "first") for a, b in zip(said[::2], said[1::2], strict=True))
    return [
        _row(f"judge-{source}", "right answers preferred to wrong ones", single, len(said)),
        _row(f"judge-both-orders-{source}", "right answers preferred in both orders", both, len(pairs)),
    ]


def _scores(tutor: Tutor, pairs: list[tuple[str, str, str]]) -> Row:
    import items

    questions = [question for _, question, _ in pairs]
    right, _ = tutor.score(questions, [items.work(question) for question in questions])
    wrong, _ = tutor.score(questions, [attempt for _, _, attempt in pairs])
    better = sum(sum(a) > sum(b) for a, b in zip(right, wrong, strict=True))
    return _row("scorer", "right answers scored above wrong ones", better, len(pairs))
