"""A commented campaign to start from, which validates and runs as it is."""

from __future__ import annotations

import re
from pathlib import Path

from tft.errors import PrerequisiteError, Problem, UserError

_CAMPAIGN = """\
# tft run {path}
# `tft validate {path}` says what is wrong with it and what it needs; `tft schema` documents every key.

campaign: {name}          # the run directory is called after it: runs/{name}
seed: 7                   # the same config, seed and machine give the same report

# Who teaches. `tft ls` lists the tutors there are; a folder tutors/<name>/ beside this file makes another.
tutor: abacus

# Who is taught: a model of the library, a folder (path:...) or a name on the hub (hub:...).
# adapter: full trains every weight, lora trains small additions: {{type: lora, r: 16}}.
students:
  - {{id: ada, model: abacus/novice-a, adapter: full}}
  - {{id: blaise, model: abacus/novice-b, adapter: full}}

# What there is to learn. A folder curricula/<name>/ beside this file makes another.
curriculum: arithmetic
# skills: [add_1, add_2, sub_1, sub_2]   # only these; leave it out for all of them

# Students, lessons and skills of an earlier run go on: docs/campaign.md. Leave students out to take all of them.
# continue_from: quickstart

# Data you have, taught beside what the tutor writes: docs/data.md.
# material: [mine.jsonl]

exams:
  part: curriculum        # single skills: held-out items of the curriculum
  whole: []               # exam suites, such as gsm8k_calculator_steps
  final: 256              # items a skill in the final exam

tuition:
  cycles: 4               # at most; may be raised when a run is continued
  methods: auto           # or one kind of lesson for all: docs/training.md
  mastery: 0.9            # share of right answers from which a skill counts as mastered
  lessons: 1200           # new lessons of each kind a skill and cycle, at most

budget:
  tutor_tokens: 2M        # a hard limit; may be raised when a run is continued

cluster: ray              # or inline: everything in one process, for debugging
"""


def write_campaign(name: str, folder: Path | None = None) -> Path:
    """Write a campaign; into ``configs/`` where there is such a folder, else into the current one.

    Args:
        name: of the campaign and of its file.
        folder: where it is written instead; made if it is missing.

    Raises:
        UserError: if the name cannot be a campaign's, or the file is there already.
        PrerequisiteError: if it cannot be written.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name):
        remedy = "use lower-case letters, digits, - and _, 63 at most, - and _ not in front"
        raise UserError(Problem("cannot be the name of a campaign", key="NAME", value=name, remedy=remedy))
    place = folder if folder is not None else Path("configs") if Path("configs").is_dir() else Path()
    path = place / f"{name}.yaml"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(_CAMPAIGN.format(name=name, path=path))
    except FileExistsError:
        remedy = "choose another name; nothing is overwritten"
        raise UserError(Problem("is there already", file=str(path), remedy=remedy)) from None
    except OSError as error:
        raise PrerequisiteError(f"{path} cannot be written: {error.strerror}. Name another folder with --dir") from None
    return path
