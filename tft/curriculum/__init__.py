"""What there is to learn, what a student knows of it, and what it is taught next. Pure: no model is run here."""

from tft.curriculum.mastery import estimate, mastered, mean_score
from tft.curriculum.planner import plan
from tft.curriculum.reflection import Evidence, reflect
from tft.curriculum.standing import Planner, Purse, Standing

__all__ = ["Evidence", "Planner", "Purse", "Standing", "estimate", "mastered", "mean_score", "plan", "reflect"]
