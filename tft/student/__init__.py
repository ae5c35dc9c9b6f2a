"""A student: a base model plus what it has learned, kept in verified checkpoint folders."""

from tft.student.checkpoints import read_checkpoint, write_checkpoint
from tft.student.models import StudentRef, adapt, attempt, open_student

__all__ = ["StudentRef", "adapt", "attempt", "open_student", "read_checkpoint", "write_checkpoint"]
