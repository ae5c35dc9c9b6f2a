"""Two prices from 10 to 99: their sum while it stays below a hundred, or their difference."""

import re


def draw(skill, rng):
    """Yield questions of a skill, for ever."""
    while True:
        a, b = sorted((rng.randrange(10, 100), rng.randrange(10, 100)))
        question = f"{a}+{b}" if skill == "add_2" else f"{b}-{a}"
        if classify(question):
            yield question


def classify(question):
    """Give the skill, level and answer of a question; None where it is none of ours."""
    match = re.fullmatch(r"([1-9]\d)([+-])([1-9]\d)", question)
    answer = int(match[1]) + int(match[2] + match[3]) if match else -1
    if not 0 <= answer < 100:
        return None
    ones = int(match[1][1]) + int(match[2] + match[3][1])
    return "add_2" if match[2] == "+" else "sub_2", 1 if 0 <= ones <= 9 else 2, str(answer)


def fingerprint(question):
    """Write all questions that ask the same in one form."""
    return "+".join(sorted(question.split("+")))
