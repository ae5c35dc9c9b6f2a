"""What is shown of a report, and in which order: rows of skills and exams, and curves.

A report may come from an older version or a campaign that was cut short, so everything may be absent.
Left out on purpose: markup and formatting, which the page and the terminal do each in its own way.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tft.exams import MOSTLY_CUT_OFF
from tft.report.measures import Change, Measure, mapping, number

ROLES = ("taught", "retention", "stretch")


@dataclass(frozen=True, slots=True)
class Row:
    """One skill, or one group of a whole exam: before and after."""

    name: str
    before: Measure | None
    after: Measure | None
    change: Change | None
    title: str = ""
    role: str = "taught"
    lessons: int | None = None
    rehearsed: int | None = None
    """Lessons that only kept it fresh."""
    trained_tokens: int | None = None
    examined_whole: bool = False

    @property
    def n(self) -> int | None:
        """Items it was measured on."""
        return next((found.n for found in (self.after, self.before) if found is not None), None)

    @property
    def questions(self) -> int | None:
        """Different questions among its items; None where all differ."""
        return next((found.questions for found in (self.after, self.before) if found is not None), None)


@dataclass(frozen=True, slots=True)
class Consistency:
    """How many questions that were put in several wordings were answered alike in all."""

    measure: Measure
    right_in_all: float | None
    """Share that was right in all."""


@dataclass(frozen=True, slots=True)
class Sat:
    """How one student did in one whole exam."""

    student: str
    reason: str | None
    """Why it was not sat; None where it was."""
    rows: tuple[Row, ...]
    """All items first, then group by group; none where neither sitting was sat."""
    consistency: tuple[Consistency, Consistency] | None = None
    """Before and after; None where no question has several wordings."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A check of one skill after one cycle; cycle 0 is before any tuition."""

    cycle: int
    promoted: bool
    """False where the checkpoint was refused and rolled back."""
    measure: Measure


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of one skill of a student in the end, and from what evidence."""

    name: str
    measure: Measure
    """The median of the belief and its interval; ``n`` are the items that this checkpoint answered."""
    right: int | None
    aged: float | None
    """What answers of earlier checkpoints are still worth, in answers."""
    asked: int | None
    """Cycle in which it was asked last."""
    probability: float | None
    """That it is mastered."""
    undecided: tuple[float, ...]
    """Thresholds of the planner on whose side it lies is not known."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two sittings of one exam."""

    exam: str
    first: Measure | None
    second: Measure | None
    change: Change
    """From the first to the second."""
    p: float
    corrected: float
    """The same, corrected for all that are compared (Holm)."""
    paired: bool
    """Whether both answered the same questions."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two students side by side: of two runs, or of one."""

    first: str
    second: str
    title: str
    """What is subtracted from what."""
    rows: tuple[Compared, ...]


def pairs(found: dict[str, Any]) -> list[Pair]:
    """List who is compared with whom in what ``tft compare`` found, in its order."""
    grouped: dict[tuple[str, str, str], list[Compared]] = {}
    for it in found["comparisons"]:
        one, other = it["first"], it["second"]
        change = Change(it["difference"], it["low"], it["high"], it["corrected"])
        row = Compared(
            it["exam"], Measure.read(one), Measure.read(other), change, it["p"], it["corrected"], it["paired"]
        )
        # The run is named only where there are two.
        if one["run"] == other["run"]:
            names = one["student"], other["student"], f"{other['student']} − {one['student']}"
        else:
            names = one["run"], other["run"], f"{other['student']}: {other['run']} − {one['run']}"
        grouped.setdefault(names, []).append(row)
    return [Pair(*names, tuple(them)) for names, them in grouped.items()]


def skills(report: dict[str, Any]) -> list[dict[str, Any]]:
    """List the skills of the campaign, role by role, each in the order of the curriculum."""
    known = [mapping(skill) for skill in report.get("skills") or []]
    names = {skill.get("name") for skill in known}
    for student in students(report):
        for name, found in mapping(student.get("skills")).items():
            if name not in names:
                names.add(name)
                role = "taught" if mapping(found).get("taught") else "stretch"
                known.append({"name": name, "title": "", "role": role})
    roles = [*ROLES, *sorted({str(skill.get("role")) for skill in known} - set(ROLES))]
    return sorted(known, key=lambda skill: roles.index(str(skill.get("role"))))


def students(report: dict[str, Any]) -> list[dict[str, Any]]:
    """List the students."""
    return [mapping(student) for student in report.get("students") or []]


def skill_rows(report: dict[str, Any], student: dict[str, Any]) -> list[Row]:
    """List what became of every skill of one student."""
    found = mapping(student.get("skills"))
    return [
        _row(
            str(skill.get("name")),
            mapping(found.get(str(skill.get("name")))),
            title=str(skill.get("title") or ""),
            role=str(skill.get("role")),
            examined_whole=bool(skill.get("examined_whole")),
        )
        for skill in skills(report)
    ]


def standings(report: dict[str, Any], student: dict[str, Any]) -> dict[str, list[str]]:
    """Sort the skills that are to be mastered or kept by the final exam: ``mastered``, ``nearly``, ``not_yet``.

    ``nearly`` is what may be built on; empty lists where the config of the report does not say what mastery is.
    """
    tuition = mapping(mapping(report.get("config")).get("tuition"))
    mastery, ready = number(tuition.get("mastery")), number(tuition.get("ready"))
    found: dict[str, list[str]] = {"mastered": [], "nearly": [], "not_yet": []}
    if mastery is None:
        return found
    for row in skill_rows(report, student):
        if row.after is not None and row.role != "stretch":
            nearly = row.after.score >= (mastery if ready is None else ready)
            found["mastered" if row.after.score >= mastery else "nearly" if nearly else "not_yet"].append(row.name)
    return found


def cut_off(student: dict[str, Any]) -> dict[str, float]:
    """Give the share of a student's answers to the final exam that were cut off, ``before`` and ``after``, where it is
    most of them.
    """
    found = mapping(student.get("cut_off"))
    shares = {when: number(found.get(when)) for when in ("before", "after")}
    return {when: share for when, share in shares.items() if share is not None and share > MOSTLY_CUT_OFF}


def _row(name: str, found: dict[str, Any], **more: Any) -> Row:
    return Row(
        name,
        Measure.read(found.get("before")),
        Measure.read(found.get("after")),
        Change.read(found.get("change")),
        lessons=found.get("lessons"),
        rehearsed=found.get("rehearsed"),
        trained_tokens=found.get("trained_tokens"),
        **more,
    )


def exams(report: dict[str, Any]) -> dict[str, tuple[str, list[Sat]]]:
    """Give, for every whole exam, its caption and how each student did."""
    suites: dict[str, tuple[str, list[Sat]]] = {}
    for student in students(report):
        for suite, value in mapping(student.get("whole")).items():
            found = mapping(value)
            caption, sat = suites.get(suite, ("", []))
            suites[suite] = (caption or str(found.get("caption") or ""), [*sat, _sat(student, found)])
    return suites


def _sat(student: dict[str, Any], found: dict[str, Any]) -> Sat:
    groups = mapping(found.get("groups")).items()
    rows = (_row("all items", found), *(_row(str(name), mapping(group)) for name, group in groups))
    reason = None if found.get("sat") else str(found.get("reason") or "no reason was recorded")
    consistency = mapping(found.get("consistency"))
    before, after = (_consistency(mapping(consistency.get(when))) for when in ("before", "after"))
    return Sat(
        str(student.get("id")),
        reason,
        rows if reason is None or rows[0].n is not None else (),
        (before, after) if before and after else None,
    )


def _consistency(found: dict[str, Any]) -> Consistency | None:
    measure = Measure.read(found)
    return None if measure is None else Consistency(measure, number(found.get("right_in_all")))


def curves(report: dict[str, Any], student: dict[str, Any]) -> dict[str, list[CurvePoint]]:
    """Give the checks of every skill over the cycles, leaving out what was not measured."""
    found: dict[str, list[CurvePoint]] = {str(skill.get("name")): [] for skill in skills(report)}
    for stop in student.get("curve") or []:
        for name, value in mapping(stop.get("skills")).items():
            measure = Measure.read(value)
            if measure is not None:
                point = CurvePoint(int(stop.get("cycle") or 0), stop.get("promoted") is not False, measure)
                found.setdefault(name, []).append(point)
    return {name: points for name, points in found.items() if points}


def beliefs(report: dict[str, Any], student: dict[str, Any]) -> list[Belief]:
    """Give what is believed of each skill in the end, leaving out what was never asked."""
    found = mapping(student.get("mastery"))
    rows = []
    for skill in skills(report):
        belief = mapping(found.get(str(skill.get("name"))))
        measure = Measure.read(belief)
        if measure is not None:
            thresholds = [number(it) for it in belief.get("undecided") or []]
            rows.append(
                Belief(
                    str(skill.get("name")),
                    measure,
                    belief.get("right"),
                    number(belief.get("aged")),
                    belief.get("asked"),
                    number(belief.get("probability")),
                    tuple(it for it in thresholds if it is not None),
                )
            )
    return rows


def flatten(value: object, prefix: str = "") -> list[tuple[str, str]]:
    """Write nested values as dotted keys.

    >>> flatten({"tuition": {"cycles": 4, "skills": None}, "students": [{"id": "ada"}]})
    [('tuition.cycles', '4'), ('tuition.skills', 'null'), ('students.0.id', 'ada')]
    """
    if isinstance(value, dict) and value:
        parts = [(str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(inner, dict | list) for inner in value):
        parts = [(str(index), inner) for index, inner in enumerate(value)]
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        return [(prefix, text)]
    return [line for key, inner in parts for line in flatten(inner, f"{prefix}.{key}" if prefix else key)]
