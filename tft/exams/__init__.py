"""Exams: held-out items, whole-exam suites, and the examiner who sits students down. Nothing that teaches may import this room."""

from tft.exams.examiner import SitRequest, sit
from tft.exams.splits import Splits, make_splits
from tft.exams.suites import Suite, read_suite

__all__ = ["SitRequest", "Splits", "Suite", "make_splits", "read_suite", "sit"]
