"""Lessons: what the tutor makes for students, what students rehearse, and what of it may be taught."""

from tft.lessons.contests import ContestRequest, contest, self_train
from tft.lessons.critiques import CritiqueRequest, criticise
from tft.lessons.curation import CurateRequest, curate
from tft.lessons.demonstrations import DemonstrationRequest, demonstrate
from tft.lessons.items import draw_items, unanswered
from tft.lessons.own_work import FeedbackRequest, for_own_work, promise_feedback
from tft.lessons.replay import ReplayRequest, rehearse, review

__all__ = [
    "ContestRequest",
    "CritiqueRequest",
    "CurateRequest",
    "DemonstrationRequest",
    "FeedbackRequest",
    "ReplayRequest",
    "contest",
    "criticise",
    "curate",
    "demonstrate",
    "draw_items",
    "for_own_work",
    "promise_feedback",
    "rehearse",
    "review",
    "self_train",
    "unanswered",
]
