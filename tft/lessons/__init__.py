"""Lessons: what the tutor makes for students, what students rehearse, and what of it may be taught."""

from tft.lessons.contests import Contested, ContestRequest, answer, contest, self_train
from tft.lessons.critiques import CritiqueRequest, criticise
from tft.lessons.curation import Audited, CurateRequest, audit, curate
from tft.lessons.demonstrations import DemonstrationRequest, demonstrate
from tft.lessons.items import draw_items, unanswered
from tft.lessons.judgements import JudgeRequest, judge
from tft.lessons.own_work import FeedbackRequest, for_own_work, promise_feedback
from tft.lessons.replay import ReplayRequest, rehearse, review

__all__ = [
    "Audited",
    "ContestRequest",
    "Contested",
    "CritiqueRequest",
    "CurateRequest",
    "DemonstrationRequest",
    "FeedbackRequest",
    "JudgeRequest",
    "ReplayRequest",
    "answer",
    "audit",
    "contest",
    "criticise",
    "curate",
    "demonstrate",
    "draw_items",
    "for_own_work",
    "judge",
    "promise_feedback",
    "rehearse",
    "review",
    "self_train",
    "unanswered",
]
