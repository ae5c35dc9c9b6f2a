"""A config with ten planted mistakes, in a folder of its own with the curriculum it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
campaign: planted
sed: 7                                        # an unknown key
tutor: {use: abacuss, model: abacus/novice-a} # an unknown tutor
students:
  - {id: ada, model: abacus/novice-b}
  - {id: ada, model: nobody/no-such-model}    # a duplicate student; an unreachable model
curriculum: planted
exams: {examiner: path:MODEL}                 # the tutor's own model, by another name
tuition: {cycles: many}                       # a wrong type
budget: {tutor_tokens: 0}                     # a zero budget
"""
CURRICULUM = """\
curriculum: planted
description: Two skills that wait for each other.
items: nowhere.py                             # a missing file
grader: {type: numerc, marker: "#"}           # an unknown grader
skills:
  add_1: {title: adding, needs: [sub_1]}      # a skill cycle
  sub_1: {title: subtracting, needs: [add_1]}
"""
KEYS = {
    "sed": "7",
    "tutor.use": "abacuss",
    "students.1.id": "ada",
    "students.1.model": "nobody/no-such-model",
    "exams.examiner": "path:MODEL",
    "tuition.cycles": "many",
    "budget.tutor_tokens": "0",
    "items": "nowhere.py",
    "grader.type": "numerc",
    "skills.add_1.needs": "add_1 → sub_1 → add_1",
}
"""Key and value of each mistake."""


def plant(folder: Path, model: Path) -> Path:
    """Write the config and its curriculum; ``model`` is where the tutor's model lies."""
    place = folder / "curricula" / "planted"
    place.mkdir(parents=True)
    (place / "curriculum.yaml").write_text(CURRICULUM)
    path = folder / "planted.yaml"
    path.write_text(CONFIG.replace("MODEL", str(model)))
    return path
