"""What to do next: at most five sentences drawn from the report, each with the key or the command that does it.

The budget and the cycles may be raised in the same run; every other key begins a new one. Code is in backticks.
Left out on purpose: advice that would need another measurement to know whether it holds.
"""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from tft.report import rows, words
from tft.report.measures import mapping, number

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTE = (
    "The budget and the cycles may be raised in the same run, and the same command then goes on; any other key begins "
    "a new one, with `--fork` or with `continue_from`."
)
_MOST = 5
_NAMED = 4
"""Skills that a sentence names."""
_OFF = 0.1
"""How much surer than right a student may be before that is told."""
_TUTORED = frozenset({"demonstration", "critique", "feedback"})
"""Kinds of lesson that a cycle has only while the tutor may be asked."""
_USUAL = 64
"""Tokens that ``tft examine`` lets an answer have unless it is told otherwise."""


def next_steps(report: dict[str, Any]) -> list[str]:
    """Say what to do next, what matters most first: at most five sentences."""
    if not rows.students(report):
        return []
    found = [*_cut_off(report), *_stopped(report), *_cut_short(report), *_fallen(report), *_not_sat(report),
             *_waiting(report), *_undecided(report), *_too_sure(report)]  # fmt: skip
    return found[:_MOST]


def _cut_off(report: dict[str, Any]) -> Iterator[str]:
    """Tell what lets answers come to their end, where most of them do not: their scores say little."""
    cut = {str(it.get("id")): rows.cut_off(it) for it in rows.students(report)}
    told = [
        f"{name} ({words.listed(f'{words.percent(share, 0)} {when} tuition' for when, share in shares.items())})"
        for name, shares in cut.items()
        if shares
    ]
    if told:
        config = map(mapping, mapping(report.get("config")).get("students") or [])
        aloud = any(cut.get(str(it.get("id"))) and not it.get("template") for it in config)
        quiet = ", or, for a model that thinks before it answers, write `template: {enable_thinking: false}`"
        yield (
            f"Most answers of {_listed(told)} were cut off before their end, and count as wrong: raise "
            f"{_key(report, 'exams.max_tokens')}{quiet if aloud else ''}."
        )


def _stopped(report: dict[str, Any]) -> Iterator[str]:
    """Answer each reason for which students stopped, the one that weighs most first."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for student in rows.students(report):
        groups.setdefault(str(student.get("stopped_because") or ""), []).append(student)
    if "" in groups:
        yield "The campaign has not ended: `tft run` with the same config goes on where it stopped."
        return
    known = {"budget": _budget, "no_lessons": _no_lessons, "plateau": _plateau, "cycles": _cycles, "mastery": _mastery}
    for reason, answer in known.items():
        if reason in groups:
            yield answer(report, groups[reason])


def _budget(report: dict[str, Any], _: list[dict[str, Any]]) -> str:
    key = str(report.get("limit_reached") or "").partition(":")[0] or "budget"
    limit = number(_config(report, "budget").get(key.removeprefix("budget.")))
    if limit is None:
        return f"The budget is used up: raise `{key}` and run the same command again."
    cycles = number(_config(report, "tuition").get("cycles")) or 1
    done = max((_tutored(student) for student in rows.students(report)), default=0) or 1
    enough = _round_up(limit * (1 + max(1.0, cycles - done) / done))
    return (
        f"The budget is used up: raise `{key}` from {limit:,.10g} to about {enough:,.10g}, which the cycles that "
        "are left would take, and run the same command again."
    )


def _tutored(student: dict[str, Any]) -> int:
    """Count the cycles in which the tutor was still asked for lessons."""
    kinds = [{it.get("kind") for it in map(mapping, cycle.get("syllabus") or [])}
             for cycle in map(mapping, student.get("cycles") or [])]  # fmt: skip
    return sum(bool(it & _TUTORED) for it in kinds)


def _round_up(value: float) -> float:
    """Round up to two digits.

    >>> _round_up(123_400), _round_up(0.0512), _round_up(12)
    (130000.0, 0.052, 12.0)
    """
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step - 1e-9) * step:.6g}")


def _no_lessons(report: dict[str, Any], students: list[dict[str, Any]]) -> str:
    curation = mapping(report.get("curation"))
    refused = {str(reason): int(amount) for reason, amount in mapping(curation.get("rejected")).items() if amount}
    if not refused:
        return f"There was nothing to teach {_names(students)}: look at what waits, or name other `skills`."
    reason = max(refused, key=refused.__getitem__)
    return (
        f"No lesson was left for {_names(students)}: {words.count(sum(refused.values()))} of "
        f"{words.count(curation.get('offered'))} were refused, most of them as `{reason}`; look at the examples under "
        "Curation, and at the `tutor`."
    )


def _plateau(report: dict[str, Any], students: list[dict[str, Any]]) -> str:
    missing = {name: None for it in students for name in _short_of_mastery(report, it)}
    at = f" at {_listed(list(missing))}" if missing else ""
    return (
        f"{_names(students)} got no better{at}: raise {_key(report, 'tuition.lessons')}, train more of the weights "
        "(`adapter`), or begin with a larger `model`."
    )


def _short_of_mastery(report: dict[str, Any], student: dict[str, Any]) -> list[str]:
    found = rows.standings(report, student)
    return [*found["nearly"], *found["not_yet"]]


def _cycles(report: dict[str, Any], students: list[dict[str, Any]]) -> str:
    tuition = _config(report, "tuition")
    cycles, mastery = number(tuition.get("cycles")), number(tuition.get("mastery"))
    begun = f"All cycles are done and {_names(students)} had not mastered everything: raise `tuition.cycles`"
    if cycles is None or mastery is None:
        return f"{begun} and run the same command again."
    more = max(_cycles_more(mapping(it.get("final_mean")), cycles, mastery) for it in students)
    return f"{begun} from {cycles:.0f} to {cycles + more:.0f} and run the same command again."


def _cycles_more(mean: dict[str, Any], cycles: float, mastery: float) -> int:
    """Say how many cycles the mean would take at its pace so far; at least one, at most as many again."""
    before, after = number(mean.get("before")), number(mean.get("after"))
    gained = 0.0 if before is None or after is None else after - before
    if after is None or gained <= 0 or after >= mastery:
        return 1
    return max(1, min(round(cycles), math.ceil((mastery - after) / (gained / cycles))))


def _mastery(report: dict[str, Any], students: list[dict[str, Any]]) -> str:
    one = str(students[0].get("id")) if len(students) == 1 else "STUDENT"
    return (
        f"{_names(students)} mastered all that was to be taught: `tft export RUN {one}` gives the model to use; for "
        f"more, name harder `skills` or raise {_key(report, 'tuition.mastery')} in a campaign with `continue_from`."
    )


def _cut_short(report: dict[str, Any]) -> Iterator[str]:
    """Tell of answers that no student was taught, because it may not write them to their end."""
    dropped = [mapping(mapping(it).get("rejected")) for it in report.get("material") or []]
    refused = mapping(mapping(report.get("curation")).get("rejected")).get("too_long")
    left = (number(refused) or 0) - sum(number(it.get("too_long")) or 0 for it in dropped)
    if left > 0 and _config(report, "tuition").get("methods") != "feedback":
        lessons = words.plural(int(left), "lesson")
        yield (
            f"{lessons} had an answer longer than a student's may be (`too_long`): raise "
            f"{_key(report, 'exams.max_tokens')}, or let the `tutor` write less."
        )


def _fallen(report: dict[str, Any]) -> Iterator[str]:
    fallen = [
        f"{student.get('id')} at {row.name} (by {words.points(-row.change.value, signed=False)} points)"
        for student in rows.students(report)
        for row in rows.skill_rows(report, student)
        if row.change is not None and row.change.direction == "fell"
    ]
    if fallen:
        yield (
            f"Something was lost, {_listed(fallen)}: raise {_key(report, 'tuition.replay')}, which rehearses it, or "
            f"lower {_key(report, 'tuition.max_drop')}, which refuses what loses it."
        )


def _not_sat(report: dict[str, Any]) -> Iterator[str]:
    absent = {
        suite: sat.reason
        for suite, (_, sittings) in rows.exams(report).items()
        for sat in sittings
        if sat.reason is not None
    }
    if not absent:
        return
    name, reason = next(iter(absent.items()))
    others = f", nor {words.listed(list(absent)[1:])}" if len(absent) > 1 else ""
    mended = "lay its file below the folder that `TFT_DATA` names" if "found" in reason else "mend that"
    places = [f"RUN/{it['checkpoint']}" for it in rows.students(report) if it.get("checkpoint")]
    model = places[0] if places else "MODEL"
    # A card may have been named by its path.
    named = [str(it) for it in _config(report, "exams").get("whole") or []]
    suite = next((it for it in named if PurePath(it).stem == name), name)
    most = number(_config(report, "exams").get("max_tokens")) or 0
    longer = f" --max-tokens {most:.0f}" if most > _USUAL else ""
    command = f"tft examine {model} --suite {suite}{longer}"
    yield f"The exam {name} was not sat{others} ({reason}): {mended}, then `{command}`."


def _waiting(report: dict[str, Any]) -> Iterator[str]:
    """Tell what was never begun, or was put off, when the last cycle was planned."""
    found: dict[str, list[str]] = {}
    for student in rows.students(report):
        last = mapping((student.get("cycles") or [None])[-1])
        for name, reason in mapping(last.get("waiting")).items():
            found.setdefault(f"{name} {reason}", []).append(str(student.get("id")))
    if not found:
        return
    told = [f"{what} ({words.listed(who)})" for what, who in found.items()]
    cure = f"more {_key(report, 'tuition.cycles')} or a lower {_key(report, 'tuition.ready')}"
    if not any(" needs " in it for it in found):
        cure = f"more {_key(report, 'budget.tutor_tokens')}"
    yield f"Still waiting when the last cycle was planned: {_listed(told, '; ')}; {cure} lets them in."


def _undecided(report: dict[str, Any]) -> Iterator[str]:
    mastery, check = number(_config(report, "tuition").get("mastery")), number(_config(report, "exams").get("check"))
    found: dict[str, list[str]] = {}
    most = 1
    for student in rows.students(report):
        for it in rows.beliefs(report, student):
            if mastery in it.undecided:
                found.setdefault(str(student.get("id")), []).append(it.name)
                most = max(most, _times(it, mastery or 0.0))
    if not found or mastery is None:
        return
    told = [f"{who} has mastered {_listed(names)}" for who, names in found.items()]
    enough = "" if check is None else f" from {check:.0f} to {check * most:.0f}"
    yield f"Too few questions to tell whether {', and whether '.join(told)}: raise `exams.check`{enough}."


def _times(belief: rows.Belief, threshold: float) -> int:
    """Say how many times the questions would part a belief from a threshold: from 2 to 4."""
    found = belief.measure
    width = max(abs((it if it is not None else found.score) - found.score) for it in (found.low, found.high))
    distance = abs(found.score - threshold)
    return 4 if distance == 0 else max(2, min(4, math.ceil((width / distance) ** 2)))


def _too_sure(report: dict[str, Any]) -> Iterator[str]:
    mastery = number(_config(report, "tuition").get("mastery")) or 1.0
    told = []
    for student in rows.students(report):
        found = mapping(student.get("calibration"))
        sure, right = number(found.get("confidence")), number(found.get("base_rate"))
        shares = [mapping(it) for it in found.get("abstention") or []]
        if sure is not None and right is not None and sure - right > _OFF and shares:
            best = next((it for it in shares if it["right"] >= mastery), shares[-1])
            told.append(
                f"{student.get('id')} ({words.percent(sure, 0)} sure, {words.percent(right, 0)} right; "
                f"{words.percent(best['right'], 0)} from a confidence of {best['from_confidence']:.3f} on)"
            )
    if told:
        verb = "is surer than it is" if len(told) == 1 else "are surer than they are"
        yield f"{_listed(told)} {verb} right: where they are used, drop answers below that (`calibration.abstention`)."


def _config(report: dict[str, Any], part: str) -> dict[str, Any]:
    return mapping(mapping(report.get("config")).get(part))


def _key(report: dict[str, Any], path: str) -> str:
    """Name a key of the config, and what it is now."""
    part, _, key = path.partition(".")
    value = number(_config(report, part).get(key))
    return f"`{path}`" if value is None else f"`{path}` (now {value:,.10g})"


def _names(students: list[dict[str, Any]]) -> str:
    return words.listed(str(it.get("id")) for it in students)


def _listed(names: list[str], between: str = ", ") -> str:
    """Join names, and count those that there is no room for."""
    left = len(names) - _NAMED
    if left > 1:
        return f"{between.join(names[:_NAMED])} and {left} more"
    return words.listed(names) if between == ", " else between.join(names)
