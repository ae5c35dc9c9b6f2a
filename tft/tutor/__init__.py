"""The tutor: a model, the prompts for its roles, and a cache so that no answer is paid for twice."""

from tft.tutor.allowance import NO_LIMIT, Allowance
from tft.tutor.cache import AnswerCache
from tft.tutor.judging import Pair, Preference, prefer
from tft.tutor.opinions import OpinionRequest, give_opinion
from tft.tutor.preflight import Check, Preflight, PreflightRequest, preflight
from tft.tutor.roles import Answers, Tutor, TutorRef, open_engine, open_tutor
from tft.tutor.scoring import Scorer

__all__ = [
    "NO_LIMIT",
    "Allowance",
    "AnswerCache",
    "Answers",
    "Check",
    "OpinionRequest",
    "Pair",
    "Preference",
    "Preflight",
    "PreflightRequest",
    "Scorer",
    "Tutor",
    "TutorRef",
    "give_opinion",
    "open_engine",
    "open_tutor",
    "prefer",
    "preflight",
]
