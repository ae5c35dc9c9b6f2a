"""Admission: what a student brings along is written down, and that it can learn is found out before anybody is asked.

A student is opened as it will learn, with its adapter on and, where the tutor is to score its tokens, beside the
tutor's tokenizer: what does not fit is found here, and not after an exam, a probe and a thousand paid lessons.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tft.config.training import DistillationConfig
from tft.errors import UserError
from tft.training import Opened, OpenRequest, open_once

if TYPE_CHECKING:
    from tft.preparation import Prepared
    from tft.pupil import Pupil
    from tft.steps import Steps


async def admit(prepared: Prepared, steps: Steps, place: int, pupil: Pupil, tutor: Any) -> None:
    """Take a student into a campaign.

    Args:
        prepared: the campaign.
        steps: runs the stages.
        place: of the student in the roster, from 0.
        pupil: the student; it is given the notebook of an earlier campaign, where there was one.
        tutor: how a student that trains reaches the tutor.

    Raises:
        UserError: if it cannot learn in the way that its config says, with the keys.
    """
    inherited = prepared.inherited.students.get(pupil.config.id)
    if inherited is not None:
        pupil.remember(inherited.lessons)
        steps.note(inherited, name="inherit", student=pupil.config.id, cycle=0)
    request = OpenRequest(pupil.ref)
    feedback = prepared.config.training.objectives.feedback
    if prepared.config.tuition.methods == "feedback" and isinstance(feedback, DistillationConfig):
        request = OpenRequest(pupil.ref, feedback, tutor)
    try:
        await steps.run(Opened, pupil.place, open_once, request, name="open", student=pupil.config.id, cycle=0)
    except UserError as error:
        keyed = [replace(it, key=f"students.{place}.{it.key}") if (it.key or "").startswith("adapter") else it
                 for it in error.problems]  # fmt: skip
        raise UserError(*keyed) from error
