"""Lessons: what the tutor makes for students, what students rehearse, and what of it may be taught."""

from tft.lessons.critiques import CritiqueRequest, criticise
from tft.lessons.curation import CurateRequest, curate
from tft.lessons.demonstrations import DemonstrationRequest, demonstrate
from tft.lessons.replay import ReplayRequest, rehearse, review

__all__ = [
    "CritiqueRequest",
    "CurateRequest",
    "DemonstrationRequest",
    "ReplayRequest",
    "criticise",
    "curate",
    "demonstrate",
    "rehearse",
    "review",
]
