"""Material: what people have already, read, sorted and graded, to be taught beside the tutor's lessons.

``tft validate`` reads it too, so nothing here loads torch.
"""

from tft.material.formats import Dialogue, read_row
from tft.material.grading import GradeRequest, grade_material
from tft.material.reading import Material, Setting, count, nothing_good, read_material, refuse_unread, refuse_verdicts
from tft.material.sieve import HeldOut
from tft.material.turns import Trouble

__all__ = [
    "Dialogue",
    "GradeRequest",
    "HeldOut",
    "Material",
    "Setting",
    "Trouble",
    "count",
    "grade_material",
    "nothing_good",
    "read_material",
    "read_row",
    "refuse_unread",
    "refuse_verdicts",
]
