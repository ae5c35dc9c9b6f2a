"""Items of the stories curriculum: the beginning of a children's story, and a rule for how it goes on.

What stands before the beginning says which rule holds; a model that only tells stories has to learn what it means:

>>> classify("dog. One day, Lily went to the park.")
('word', 1, '{"includes": "dog"}')
>>> classify("Short. Tom had a red ball.")[2]
'{"most_words_a_sentence": 6}'

Left out on purpose: rules that only a judge could check, such as whether a story is any good.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

NAMES = (
    "Lily", "Tim", "Tom", "Sam", "Mia", "Ben", "Anna", "Max", "Sue", "Jack", "Lucy", "Spot", "Bob", "Jane", "Mark",
    "Sara", "Amy", "Leo", "Emma", "Fluffy", "Billy", "Jill", "Kim", "Rex",
)  # fmt: skip
PLACES = ("the park", "the farm", "the lake", "the forest", "the beach", "school", "the store", "the garden")
THINGS = ("a red ball", "a big box", "a toy car", "a small boat", "a new hat", "a blue kite", "a warm coat", "a drum")
WORDS = ("dog", "cat", "bird", "tree", "mom", "happy", "friend", "ball")
OPENINGS = (
    "One day, {name} went to {place}.",
    "{name} was playing at {place}.",
    "{name} had {thing}.",
    "Once upon a time, {name} found {thing}.",
    "{name} liked {thing}.",
    "{name} wanted to go to {place}.",
)
_RULES = {"word": "includes", "short": "most_words_a_sentence", "end": "ends_with"}
_LONGEST = 6
_QUESTION = re.compile(r"(?P<tag>[a-z]+|Short|End)\. (?P<opening>.+\.)")


def draw(skill: str, rng: random.Random) -> Iterator[str]:
    """Yield beginnings without end."""
    while True:
        opening = rng.choice(OPENINGS).format(
            name=rng.choice(NAMES), place=rng.choice(PLACES), thing=rng.choice(THINGS)
        )
        tag = rng.choice(WORDS) if skill == "word" else skill.capitalize()
        yield f"{tag}. {opening}"


def classify(question: str) -> tuple[str, int, str] | None:
    """Say which skill, level and rule a beginning has; None where it is none of these."""
    match = _QUESTION.fullmatch(question)
    if match is None:
        return None
    tag = match["tag"]
    if tag in WORDS:
        return "word", 1, json.dumps({_RULES["word"]: tag})
    if tag == "Short":
        return "short", 1, json.dumps({_RULES["short"]: _LONGEST})
    return ("end", 1, json.dumps({_RULES["end"]: "."})) if tag == "End" else None


def fingerprint(question: str) -> str:
    """Give the question itself: no two ask the same."""
    return question
