"""Exams: held-out items, whole-exam suites, and the examiner who sits students down. Nothing that teaches may import
this room.

The examiner runs models, so it is imported by its own name: ``tft validate`` reads items here and loads no torch.
"""

from tft.exams.consistency import measure_consistency
from tft.exams.reading import read_suite
from tft.exams.scores import MOSTLY_CUT_OFF, effective_counts, measure_change, measure_cut_off, measure_score
from tft.exams.splits import Splits, make_splits
from tft.exams.suites import Suite, find_suite, open_suite, refuse_names
from tft.exams.watched import set_apart

__all__ = [
    "MOSTLY_CUT_OFF",
    "Splits",
    "Suite",
    "effective_counts",
    "find_suite",
    "make_splits",
    "measure_change",
    "measure_consistency",
    "measure_cut_off",
    "measure_score",
    "open_suite",
    "read_suite",
    "refuse_names",
    "set_apart",
]
