"""A student is opened as it will be to learn, once, before anybody is asked anything: what does not fit is found then.

An adapter that its model cannot take, a chat template that would teach what is never asked for, tokens that tutor and
student do not share: none of it shows before the first cycle, and by then the tutor has been paid. Left out on
purpose: a step of training, because whether it fits into memory is estimated by ``tft validate``.
"""

from __future__ import annotations

from dataclasses import dataclass

from tft.config.training import DistillationConfig, TrainingConfig
from tft.student import StudentRef
from tft.training.asking import open_scorer
from tft.training.distillation import refuse_tokens
from tft.training.loop import TrainRequest, open_learner
from tft.training.reader import Reader
from tft.training.rows import refuse_template
from tft.training.workers import ALONE
from tft.tutor import TutorRef


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A student, and whose probabilities it will learn from."""

    student: StudentRef
    feedback: DistillationConfig | None = None
    """None where it is not taught by feedback."""
    tutor: TutorRef | None = None
    """For feedback."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What was opened."""

    weights: int
    """That are trained."""


def open_once(request: OpenRequest) -> Opened:
    """Open a student to learn, and close it again.

    Raises:
        UserError: if PEFT refuses its adapter, or tutor and student have different tokens that are compared.
        PrerequisiteError: if its model cannot take the adapter.
        StageError: if its chat template cannot be learned with.
    """
    learner = open_learner(TrainRequest(request.student, (), TrainingConfig(), None, 1.0, 0, ""))
    if not isinstance(learner, Reader):
        refuse_template(learner.tokenizer)
    scorer = open_scorer(request.tutor, ALONE)
    if request.feedback is not None and scorer is not None:
        refuse_tokens(request.feedback, scorer, learner.tokenizer)
    return Opened(sum(weight.numel() for weight in learner.weights))
