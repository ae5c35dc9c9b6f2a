"""What there is to learn, what a student knows of it, and what it is taught next. Pure: no model is run here."""

from tft.curriculum.evidence import Trace, Traces, hear, renew
from tft.curriculum.mastery import believe, estimate, mastered, mean_score
from tft.curriculum.planner import plan
from tft.curriculum.probing import Decisions, next_items, undecided
from tft.curriculum.reflection import Compared, Evidence, keep_best, reflect
from tft.curriculum.standing import Planner, Purse, Standing, ask_planner

__all__ = [
    "Compared", "Decisions", "Evidence", "Planner", "Purse", "Standing", "Trace", "Traces", "ask_planner", "believe",
    "estimate", "hear", "keep_best", "mastered", "mean_score", "next_items", "plan", "reflect", "renew", "undecided",
]  # fmt: skip
