"""What abacus and its novices read while they are made: questions, worked answers, critiques and judgements.

A document is a prompt and a completion; only the completion is learned. Mistakes come from two places: slips
put into right work on purpose (``slip``), and wrong attempts that real novices made (``recipe.gather_attempts``).
``diagnose`` is the gold standard for both: it compares an attempt with the canonical work, step by step.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import items

if TYPE_CHECKING:
    from collections.abc import Callable

TABLES = ("add_1", "sub_1", "mul_1")
SKILLS = (*TABLES, "add_2", "add_3", "sub_2", "sub_3", "mul_2x1")
LONGEST_ATTEMPT = 60

_STEP = re.compile(r"\d+(?:[-+*]\d+)+=\d+")


@dataclass(frozen=True)
class Document:
    """One thing to learn: what is asked, what is answered, and which role and skill it belongs to."""

    role: str
    skill: str
    prompt: str
    completion: str


def held_out(question: str) -> bool:
    """Say whether a question is one in sixteen that no model is trained on; tables are too small for that."""
    classified = items.classify(question)
    if classified is not None and classified[0] in TABLES:
        return False
    digest = hashlib.blake2b(items.fingerprint(question).encode(), digest_size=2).digest()
    return digest[0] % 16 == 0


class Questions:
    """Endless questions of the named skills, either those that are held out or those that are not."""

    def __init__(self, skills: tuple[str, ...], seed: int, *, exam: bool = False) -> None:
        self._rng = random.Random(f"questions {seed} {exam}")
        self._exam = exam
        self._draws = {skill: items.draw(skill, self._rng) for skill in skills}

    def next(self, skill: str) -> str:
        while True:
            try:
                question = next(self._draws[skill])
            except StopIteration:
                self._draws[skill] = items.draw(skill, self._rng)
                continue
            if skill in TABLES or held_out(question) == self._exam:
                return question


def answer_document(question: str, skill: str) -> Document:
    return Document("demonstrator", skill, question, items.work(question))


def author_document(question: str) -> Document:
    skill, level, _ = items.classify(question)
    return Document("author", skill, f"write {skill} level {level}", question)


def critique_document(question: str, skill: str, attempt: str) -> Document:
    step, mistake = diagnose(question, attempt)
    completion = f"step {step} {mistake}: {items.work(question)}"
    return Document("critic", skill, f"check {question}: {attempt}", completion)


def judge_document(question: str, skill: str, first: str, second: str) -> Document:
    right = [is_right(question, attempt) for attempt in (first, second)]
    verdict = "tie" if right[0] == right[1] else "first" if right[0] else "second"
    return Document("judge", skill, f"judge {question}: {first} or {second}", verdict)


def is_right(question: str, attempt: str) -> bool:
    problem = items.parse(question)
    return problem is not None and attempt.rpartition("#")[2] == str(problem.answer) and "#" in attempt


def diagnose(question: str, attempt: str) -> tuple[int, str]:
    """Find the first step at which an attempt leaves the canonical work, and name the mistake.

    Returns: the step, counted from 1, and one of ``fact`` (the right sum, the wrong result), ``carry`` or
        ``borrow`` (forgotten or invented), ``digit`` (the wrong digits taken), ``missing``, ``extra``, ``form``
        (not a step at all) and ``final`` (the steps are right, the result is not put together from them).
    """
    expected, written = items.work(question).split(" "), attempt.split(" ")
    for number, (right, wrong) in enumerate(zip(expected, written, strict=False), start=1):
        if right != wrong:
            return number, _name_mistake(right, wrong, product="*" in question)
    if len(written) < len(expected):
        return len(written) + 1, "missing"
    if len(written) > len(expected):
        return len(expected) + 1, "extra"
    raise ValueError(f"nothing is wrong with {attempt!r} as an answer to {question!r}")


def _name_mistake(right: str, wrong: str, *, product: bool) -> str:
    forgotten = product and "+" in right and wrong.partition("=")[0] != right.partition("=")[0]
    if forgotten and (wrong.startswith("#") or _STEP.fullmatch(wrong)):
        return "carry"
    if wrong.startswith("#"):
        return "final" if right.startswith("#") else "missing"
    if right.startswith("#"):
        return "extra"
    if not _STEP.fullmatch(wrong):
        return "form"
    right_left, wrong_left = right.partition("=")[0], wrong.partition("=")[0]
    if right_left == wrong_left:
        return "fact"
    right_terms, wrong_terms = re.split(r"[-+*]", right_left), re.split(r"[-+*]", wrong_left)
    if "-" in right_left:
        lifted = abs(int(right_terms[0]) - int(wrong_terms[0])) == 10
        if right_terms[1] == wrong_terms[1] and (lifted or right_terms[0] == wrong_terms[0]):
            return "borrow"
    elif right_terms[:2] == wrong_terms[:2]:
        return "carry"
    return "digit"


def slip(question: str, rng: random.Random) -> str:
    """Put one slip into the right work of a question and carry it through to the end, as a pupil would."""
    steps = items.work(question).split(" ")
    kinds: list[Callable[[list[str], random.Random], list[str]]] = [_slip_fact, _slip_carry, _slip_digit]
    kinds += [_slip_missing, _slip_final, _slip_extra]
    while True:
        attempt = " ".join(rng.choice(kinds)(list(steps), rng))
        if attempt != " ".join(steps) and not is_right(question, attempt):
            return attempt


def _gather(steps: list[str]) -> str:
    """Put the result together from the results of the steps, as the pupil sees them."""
    product = any("*" in step for step in steps)
    following = [*steps[1:], ""]
    # In a product the sum with what was carried takes the place of the column before it.
    columns = [step for step, after in zip(steps, following, strict=True) if not (product and "+" in after)]
    results = [step.partition("=")[2] for step in columns]
    number = results[-1] + "".join(result[-1] for result in reversed(results[:-1]))
    return f"#{int(number)}"


def _slip_fact(steps: list[str], rng: random.Random) -> list[str]:
    place = rng.randrange(len(steps) - 1)
    left, _, right = steps[place].partition("=")
    steps[place] = f"{left}={max(0, int(right) + rng.choice([-2, -1, 1, 2, 10, -10]))}"
    return [*steps[:-1], _gather(steps[:-1])]


def _slip_carry(steps: list[str], rng: random.Random) -> list[str]:
    carried = [place for place, step in enumerate(steps) if "*" in steps[0] and "+" in step]
    if carried:
        del steps[rng.choice(carried)]
        return [*steps[:-1], _gather(steps[:-1])]
    place = rng.randrange(len(steps) - 1)
    left, _, right = steps[place].partition("=")
    terms = re.split(r"([-+*])", left)
    if len(terms) == 5:
        left, result = "".join(terms[:3]), int(right) + (1 if terms[1] == "-" else -int(terms[4]))
    elif terms[1] == "-" and int(terms[0]) >= 10:
        top, bottom = int(terms[0]) - 10, int(terms[2])
        left, result = f"{top}-{bottom}", abs(top - bottom)
    else:
        sign = "-" if terms[1] == "-" else "+"
        left, result = f"{left}{sign}1", max(0, int(right) + (-1 if sign == "-" else 1))
    steps[place] = f"{left}={result}"
    return [*steps[:-1], _gather(steps[:-1])]


def _slip_digit(steps: list[str], rng: random.Random) -> list[str]:
    place = rng.randrange(len(steps) - 1)
    terms = re.split(r"([-+*])", steps[place].partition("=")[0])
    which = rng.choice([0, 2])
    terms[which] = str((int(terms[which]) + rng.randint(1, 9)) % 10)
    value = {"+": lambda a, b: a + b, "-": lambda a, b: abs(a - b), "*": lambda a, b: a * b}[terms[1]](
        int(terms[0]), int(terms[2])
    )
    if len(terms) == 5:
        value = max(0, value + (-1 if terms[1] == "-" else int(terms[4])))
    steps[place] = f"{''.join(terms)}={value}"
    return [*steps[:-1], _gather(steps[:-1])]


def _slip_missing(steps: list[str], rng: random.Random) -> list[str]:
    del steps[rng.randrange(len(steps) - 1)]
    return [*steps[:-1], _gather(steps[:-1])] if len(steps) > 1 else steps


def _slip_final(steps: list[str], rng: random.Random) -> list[str]:
    digits = list(steps[-1][1:])
    place = rng.randrange(len(digits))
    choice = rng.randrange(3)
    if choice == 0:
        digits[place] = str(rng.randrange(10))
    elif choice == 1 and len(digits) > 1:
        del digits[place]
    else:
        digits.insert(place, str(rng.randrange(10)))
    return [*steps[:-1], f"#{''.join(digits)}"]


def _slip_extra(steps: list[str], rng: random.Random) -> list[str]:
    extra = steps[rng.randrange(len(steps) - 1)]
    work = [*steps[:-1], extra]
    return [*work, _gather(work)]


class TutorCorpus:
    """The mixture that makes a tutor: it answers, writes, criticises and judges.

    Args:
        attempts: wrong attempts of real novices, by skill, as (question, attempt).
        seed: decides everything that is drawn.
    """

    shares = (("demonstrator", 0.30), ("author", 0.08), ("critic", 0.44), ("judge", 0.18))

    def __init__(self, attempts: dict[str, list[tuple[str, str]]], seed: int, *, exam: bool = False) -> None:
        self._rng = random.Random(f"tutor {seed} {exam}")
        self._questions = Questions(SKILLS, seed, exam=exam)
        self._attempts = attempts

    def wrong_attempt(self, skill: str) -> tuple[str, str]:
        if self._attempts.get(skill) and self._rng.random() < 0.5:
            return self._rng.choice(self._attempts[skill])
        question = self._questions.next(skill)
        return question, slip(question, self._rng)

    def draw(self, role: str | None = None, skill: str | None = None) -> Document:
        rng = self._rng
        role = role or rng.choices(*zip(*self.shares, strict=True))[0]
        skill = skill or rng.choices(SKILLS, weights=[1, 1, 1, 2, 3, 2, 3, 3])[0]
        if role == "critic":
            question, attempt = self.wrong_attempt(skill)
            return critique_document(question, skill, attempt)
        if role == "judge":
            question, wrong = self.wrong_attempt(skill)
            other = items.work(question) if rng.random() < 0.8 else slip(question, rng)
            first, second = (wrong, other) if rng.random() < 0.5 else (other, wrong)
            if rng.random() < 0.1:
                first = second = items.work(question)
            return judge_document(question, skill, first, second)
        question = self._questions.next(skill)
        return author_document(question) if role == "author" else answer_document(question, skill)


def column_facts(rng: random.Random, count: int = 4) -> Document:
    """Draw a sheet of facts that single columns need: sums, differences and products with what was carried.

    They stand in a row, not in the question, so that a fact is learned from what is written right before it.
    """
    return Document("demonstrator", "facts", "facts", " ".join(_column_fact(rng) for _ in range(count)))


def _column_fact(rng: random.Random) -> str:
    operator, a, b = rng.choice("+-*c"), rng.randrange(10), rng.randrange(10)
    if operator == "*":
        return f"{a}*{b}={a * b}"
    if operator == "c":
        carried = rng.randrange(1, 9)
        return f"{a * b}+{carried}={a * b + carried}"
    carried = rng.randrange(2)
    lifted = 10 * (operator == "-" and a - b - carried < 0)
    value = a + b + carried if operator == "+" else a + lifted - b - carried
    return f"{a + lifted}{operator}{b}{f'{operator}1' if carried else ''}={value}"


class NoviceCorpus:
    """What a novice was taught before it meets a tutor: answers to questions of a few skills, and column facts.

    What it never saw is how columns are put together: which digits belong to each other, carrying, borrowing.
    """

    facts = 0.3

    def __init__(self, skills: tuple[str, ...], seed: int) -> None:
        self._rng = random.Random(f"novice {seed}")
        self._skills = skills
        self._questions = Questions(skills, seed)

    def draw(self) -> Document:
        if self._rng.random() < self.facts:
            return column_facts(self._rng)
        skill = self._rng.choice(self._skills)
        return answer_document(self._questions.next(skill), skill)
