"""The tutor: a model, the prompts for its roles, and a cache so that no answer is paid for twice."""

from tft.tutor.cache import AnswerCache
from tft.tutor.roles import Answers, Tutor, TutorRef, open_tutor

__all__ = ["AnswerCache", "Answers", "Tutor", "TutorRef", "open_tutor"]
