"""Items of the arithmetic curriculum: single operations on whole numbers, worked column by column.

A question is an expression such as ``27+58``. Its worked answer goes column by column from the ones,
carrying and borrowing in the open, and ends with the result behind a ``#``:

>>> work("27+58")
'7+8=15 2+5+1=8 #85'
>>> work("52-27")
'12-7=5 5-2-1=2 #25'
>>> work("47*6")
'7*6=42 4*6=24 24+4=28 #282'

Left out on purpose: negative results, decimals, division, and products of two long numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

_EXPRESSION = re.compile(r"(0|[1-9]\d{0,99})([-+*])(0|[1-9]\d{0,99})")
_NAMES = {"+": "add", "-": "sub", "*": "mul"}


@dataclass(frozen=True)
class Problem:
    """One operation on two whole numbers; ``a`` is at least ``b`` in a subtraction."""

    a: int
    operator: str
    b: int

    def __str__(self) -> str:
        return f"{self.a}{self.operator}{self.b}"

    @property
    def answer(self) -> int:
        return {"+": self.a + self.b, "-": self.a - self.b, "*": self.a * self.b}[self.operator]


def parse(question: str) -> Problem | None:
    """Read a question; None where it is not one operation on two whole numbers with a result of 0 or more."""
    match = _EXPRESSION.fullmatch(question.replace(" ", ""))
    if match is None:
        return None
    problem = Problem(int(match[1]), match[2], int(match[3]))
    return problem if problem.answer >= 0 else None


def steps(problem: Problem) -> list[str]:
    """Work a problem column by column, ones first.

    The longer factor of a product is the one that is walked through; when the numbers of a sum differ in
    length the missing digits are zeros.
    """
    a, b = str(problem.a)[::-1], str(problem.b)[::-1]
    if problem.operator == "*":
        digits, factor = (a, problem.b) if len(a) >= len(b) else (b, problem.a)
        return _product_steps(digits, factor, factor_first=len(a) < len(b))
    width = max(len(a), len(b))
    columns = list(zip(a.ljust(width, "0"), b.ljust(width, "0"), strict=True))
    carried, lines = 0, []
    for top, bottom in columns:
        suffix = f"{problem.operator}1" if carried else ""
        if problem.operator == "+":
            value = int(top) + int(bottom) + carried
            lines.append(f"{top}+{bottom}{suffix}={value}")
            carried = value // 10
        else:
            borrow = int(top) - carried < int(bottom)
            lifted = int(top) + 10 * borrow
            lines.append(f"{lifted}-{bottom}{suffix}={lifted - int(bottom) - carried}")
            carried = int(borrow)
    return lines


def _product_steps(digits: str, factor: int, *, factor_first: bool) -> list[str]:
    carried, lines = 0, []
    for digit in digits:
        value = int(digit) * factor
        product = f"{factor}*{digit}" if factor_first else f"{digit}*{factor}"
        lines.append(f"{product}={value}")
        if carried:
            lines.append(f"{value}+{carried}={value + carried}")
        carried = (value + carried) // 10
    return lines


def work(question: str) -> str:
    """Write the worked answer of a question: its steps, then ``#`` and the result."""
    problem = parse(question)
    if problem is None:
        raise ValueError(f"not an arithmetic question: {question!r}")
    return " ".join([*steps(problem), f"#{problem.answer}"])


def carries(problem: Problem) -> bool:
    """Say whether a digit is carried or borrowed anywhere in the work."""
    a, b = str(problem.a), str(problem.b)
    if problem.operator == "*":
        longer, factor = (a, problem.b) if len(a) >= len(b) else (b, problem.a)
        return any(int(digit) * factor > 9 for digit in longer)
    pairs = list(zip(a[::-1], b[::-1], strict=False))
    if problem.operator == "-":
        return any(int(top) < int(bottom) for top, bottom in pairs)
    return any(int(top) + int(bottom) > 9 for top, bottom in pairs)


def classify(question: str) -> tuple[str, int, str] | None:
    """Say which skill and level a question belongs to, and its answer.

    Level 1 needs no carrying or borrowing, level 2 does. Products are covered while the shorter factor has
    one digit. None where the question is outside everything this curriculum can name.
    """
    problem = parse(question)
    if problem is None:
        return None
    lengths = sorted((len(str(problem.a)), len(str(problem.b))), reverse=True)
    if problem.operator == "*":
        if lengths[1] > 1:
            return None
        size = "1" if lengths[0] == 1 else f"{lengths[0]}x1"
    else:
        size = str(lengths[0])
    return f"{_NAMES[problem.operator]}_{size}", 2 if carries(problem) else 1, str(problem.answer)


def fingerprint(question: str) -> str:
    """Write a question in a form that is the same for all that ask the same: ``5+27`` and ``27 + 5``."""
    problem = parse(question)
    if problem is None:
        return "".join(question.split()).casefold()
    if problem.operator == "-":
        return str(problem)
    return f"{max(problem.a, problem.b)}{problem.operator}{min(problem.a, problem.b)}"


def draw(skill: str, rng: random.Random) -> Iterator[str]:
    """Yield questions of a skill, endlessly where it has no table of all; the caller drops repetitions.

    A skill on single digits is a table: each of its facts is yielded once.
    """
    name, _, size = skill.partition("_")
    operator = {word: sign for sign, word in _NAMES.items()}[name]
    if size == "1":
        facts = [(a, b) for a in range(10) for b in range(10) if operator != "-" or a >= b]
        rng.shuffle(facts)
        yield from (f"{a}{operator}{b}" for a, b in facts)
        return
    length = int(size.removesuffix("x1"))
    while True:
        long = rng.randrange(10 ** (length - 1), 10**length)
        digits = 1 if operator == "*" else rng.randint(1, length)
        short = rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)
        if operator == "-":
            yield f"{max(long, short)}-{min(long, short)}"
        else:
            a, b = (long, short) if rng.random() < 0.5 else (short, long)
            yield f"{a}{operator}{b}"
