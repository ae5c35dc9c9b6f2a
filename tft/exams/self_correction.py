"""Self-correction: with the tutor gone, a student reads its own answers, says what is wrong, and answers better.

It is asked in the words in which the tutor's critic was asked, which its critiques have taught it to answer. What it
writes must have the form of a critique; where it has none, its first answer stands. Only the grader says whether that
helped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tft.config.cards import GraderConfig
from tft.graders import grade_attempts
from tft.library import read_tutor
from tft.ports import Sampling
from tft.records import SELF_CORRECTION, Answered, Attempt, Message, Sitting
from tft.student import StudentRef
from tft.student.models import answer
from tft.tutor.forms import read_answer
from tft.tutor.prompts import compile_prompt, read_prompt


@dataclass(frozen=True, slots=True)
class CorrectRequest:
    """One student, and what it answered."""

    student: StudentRef
    answered: tuple[Answered, ...]
    card_path: str
    """Of the tutor whose critic's words are used; the tutor itself is not asked."""
    critic: str
    """Version of these words."""
    longest: int
    """Longest answer that is read again, in characters."""
    grader: GraderConfig


def correct(request: CorrectRequest) -> Sitting:
    """Let a student read its answers again, and answer better where it can; give what stands in the end."""
    card, folders = read_tutor(Path(request.card_path))
    role = card.roles["critic"]
    template = compile_prompt(read_prompt(folders, role.prompt))
    first = [it.attempt for it in request.answered]
    read = [it for it in first if it.finished and 0 < len(it.text) <= request.longest]
    asked = [
        (Message("user", template.render(question=it.item.question, attempt=it.text, marker=request.grader.marker)),)
        for it in read
    ]
    said = answer(request.student, asked, Sampling(role.max_tokens)) if asked else []
    better: dict[Attempt, Attempt] = {}
    for it, critique in zip(read, said, strict=True):
        fields = read_answer(role, critique).fields
        if fields is not None:
            better[it] = Attempt(it.item, fields["revision"], critique.tokens)
    grade = grade_attempts(request.grader)
    revised = [better.get(it, it) for it in first]
    return Sitting(SELF_CORRECTION, tuple(Answered(it, grade(it.item, it.text, it.finished)) for it in revised))
