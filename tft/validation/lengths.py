"""How long a student may answer, against how long the answers are that it is to learn from the tutor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tft.config.adapters import HeadAdapter
from tft.errors import Problem
from tft.tutor.values import roles_asked

if TYPE_CHECKING:
    from tft.validation.content import Content
    from tft.validation.draft import Draft


def warn_of_length(draft: Draft, content: Content, warnings: list[Problem]) -> None:
    """Warn where the tutor may write demonstrations that no student could repeat to their end.

    With ``methods: feedback`` students learn from their own answers, and where ``cut_off`` is graded nothing needs an
    end.
    """
    config, tutor, curriculum = draft.config, content.tutor, content.curriculum
    if tutor is None or curriculum is None or curriculum.grader.cut_off or config.tuition.methods == "feedback":
        return
    writes = any(not isinstance(student.adapter, HeadAdapter) for student in config.students)
    if not writes or "demonstrator" not in roles_asked(config.tuition, tutor, judged=False):
        return
    allowed, longest = config.exams.max_tokens, tutor.roles["demonstrator"].max_tokens
    if allowed < longest:
        message = (
            f"is less than the {longest} tokens that the demonstrator of {tutor.tutor} may write: answers that a "
            "student may not write to their end are not taught, and are paid for all the same"
        )
        remedy = (
            f"raise it to what worked answers take, {longest} at most, or lower roles.demonstrator.max_tokens in a "
            f"card that extends {tutor.tutor}"
        )
        warnings.append(Problem(message, draft.file, "exams.max_tokens", str(allowed), remedy))
