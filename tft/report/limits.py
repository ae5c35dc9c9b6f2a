"""What the numbers of a report do not say: sentences drawn from the report itself.

Left out on purpose: boilerplate. A limit that does not hold for this campaign is not mentioned.
"""

from __future__ import annotations

from typing import Any

from tft.report import rows, words
from tft.report.measures import Measure, mapping, number

_MEANS = {
    "before": "what it gained may be that it learned to answer in fewer tokens, and not what it was taught",
    "after": "what it knows now may be more than its scores say",
}


def limits(report: dict[str, Any]) -> list[str]:
    """List what a reader should know before relying on the report, the most particular first."""
    return [
        *_cut_off(report),
        *_lost(report),
        *_trusted(report),
        *_audited(report),
        *_stretch(report),
        *_whole(report),
        *_unmeasured(report),
        *_inference(report),
    ]


def _cut_off(report: dict[str, Any]) -> list[str]:
    """Tell where a score says how long answers are, and so a gain may be that they became shorter."""
    return [
        f"{words.percent(share, 0)} of {student.get('id')}'s answers to the final exam were cut off before their end "
        f"{when} tuition, and count as wrong: {_MEANS[when]}."
        for student in rows.students(report)
        for when, share in rows.cut_off(student).items()
    ]


def _lost(report: dict[str, Any]) -> list[str]:
    found = []
    for student in rows.students(report):
        name = student.get("id")
        fallen = [
            f"{row.name} by {words.points(-row.change.value, signed=False)}"
            for row in rows.skill_rows(report, student)
            if row.change is not None and row.change.direction == "fell"
        ]
        if fallen:
            found.append(f"{name} got worse at {words.listed(fallen)} points: {words.CLEAR} for all its skills.")
        cycles = map(mapping, student.get("cycles") or [])
        refused = [str(cycle.get("cycle")) for cycle in cycles if cycle.get("promoted") is False]
        if refused:
            noun = "cycle" if len(refused) == 1 else "cycles"
            found.append(f"What {name} learned in {noun} {words.listed(refused)} was rolled back.")
        named = map(mapping, student.get("cycles") or [])
        found += [
            f"In cycle {cycle.get('cycle')}, {name}: {finding}."
            for cycle in named
            for finding in cycle.get("findings") or []
        ]
    return found


def _trusted(report: dict[str, Any]) -> list[str]:
    """Tell of material that nobody checked, and of what was taught from it and is in no exam."""
    material = [mapping(it) for it in report.get("material") or []]
    examined = {str(skill.get("name")) for skill in rows.skills(report)}
    found = [
        f"{words.plural(int(trusted), 'lesson')} of {it.get('name')} stood on the word of whoever ran this campaign: "
        "no grader could check them."
        for it in material
        if (trusted := number(it.get("trusted")))
    ]
    unexamined = sorted({str(skill) for it in material for skill in mapping(it.get("skills"))} - examined)
    if unexamined:
        verb = "was" if len(unexamined) == 1 else "were"
        found.append(
            f"{words.listed(unexamined)} {verb} taught from files and not examined: the curriculum has no items."
        )
    return found


def _audited(report: dict[str, Any]) -> list[str]:
    """Tell of what looks private among the lessons, and of pairs and exams that lean to one side."""
    audit = mapping(report.get("audit"))
    found = [
        f"{words.plural(int(it['lessons']), 'lesson')} of {it['skill']} and perhaps others hold what looks like a "
        f"{it['kind']}, such as lesson {it['example']}."
        for it in mapping(audit.get("privacy")).get("found") or []
    ]
    return found + [
        f"{words.percent(it['value'])} {it['what']}."
        for it in audit.get("bias") or []
        if it["leans"] and it["low"] is not None
    ]


def _stretch(report: dict[str, Any]) -> list[str]:
    names = [str(skill.get("name")) for skill in rows.skills(report) if skill.get("role") == "stretch"]
    if not names:
        return []
    reached = []
    for student in rows.students(report):
        found = {row.name: row.after for row in rows.skill_rows(report, student)}
        scores = [_reached(found.get(name)) for name in names]
        reached.append(f"{student.get('id')} reached {words.listed(scores)}")
    verb = "was" if len(names) == 1 else "were"
    return [f"{words.listed(names)} {verb} taught to nobody and expected to fail: {'; '.join(reached)}."]


def _reached(found: Measure | None) -> str:
    """Write the score of a measure, or that there is none."""
    return "a score that was not measured" if found is None else words.percent(found.score)


def _whole(report: dict[str, Any]) -> list[str]:
    names = [str(skill.get("name")) for skill in rows.skills(report) if skill.get("examined_whole")]
    found = []
    if names:
        verb = "has" if len(names) == 1 else "have"
        found.append(
            f"{words.listed(names)} {verb} too few items for separate splits and {verb} been examined whole: "
            "the final exam holds items that probe and check had seen, too."
        )
    for suite, (_, sittings) in rows.exams(report).items():
        sat = [mapping(mapping(student.get("whole")).get(suite)) for student in rows.students(report)]
        left_out = max((number(it.get("left_out")) or 0 for it in sat), default=0)
        if left_out:
            items, verb = words.plural(int(left_out), "item"), "is" if left_out == 1 else "are"
            found.append(f"{items} of {suite} had been taught in an earlier campaign, and {verb} left out.")
        unwatched = next((str(it["unwatched"]) for it in sat if it.get("unwatched")), None)
        if unwatched:
            found.append(f"The gate watched nothing of {suite}: {unwatched}.")
        absent = [sat.student for sat in sittings if sat.reason is not None]
        if absent:
            found.append(f"{suite} was not sat by {words.listed(absent)}.")
    return found


def _unmeasured(report: dict[str, Any]) -> list[str]:
    missing = [
        name
        for name, key, value in (
            ("calibration", "calibration", "ece"),
            ("self-correction with the tutor away", "self_correction", "revised"),
        )
        if all(number(mapping(student.get(key)).get(value)) is None for student in rows.students(report))
    ]
    if not missing or not rows.students(report):
        return []
    return [f"Not measured in this campaign: {words.listed(missing)}."]


def _inference(report: dict[str, Any]) -> list[str]:
    shown = sum(
        row.change is not None and row.change.low is not None
        for student in rows.students(report)
        for row in rows.skill_rows(report, student)
    )
    if not shown:
        return []
    seed = f" with seed {report['seed']}" if number(report.get("seed")) is not None else ""
    return [
        "The intervals say how much the scores would move with other questions. They do not say how much "
        f"they would move with another seed: this campaign ran once{seed}.",
        f"{words.plural(shown, 'change')} of skills {'is' if shown == 1 else 'are'} shown, each with its own "
        f"95{words.NBSP}% interval; about one such interval in twenty misses the truth. What is said to have risen or "
        "fallen is corrected for how many there are.",
    ]
