"""A student: a base model plus what it has learned, kept in verified checkpoint folders.

``tft.student.models`` opens one; it is imported by itself, because torch comes with it.
"""

from tft.student.checkpoints import read_checkpoint, write_checkpoint
from tft.student.ref import StudentRef

__all__ = ["StudentRef", "read_checkpoint", "write_checkpoint"]
