"""Mastery and probing on simulated students whose ability is known: do intervals hold, and how little must be asked?

    python -m benchmarks run mastery [--students N]

Students are nothing but an ability that moves between cycles; their answers go through the code that campaigns run. An
item is as hard for a student in every cycle, unless a row says that luck decides. How often the interval holds the
truth is counted; errors and lengths of the sequential tests are worked out exactly, over all ways in which answers
can come.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.results import Row
from tft.config.campaign import CampaignConfig
from tft.curriculum import Decisions, Traces, believe, hear, next_items, renew, undecided
from tft.curriculum.beta import beta_below
from tft.records import Answered, Attempt, Item, Sitting, Verdict
from tft.statistics import normal_quantile

CYCLES = 4
ERROR = 0.05
COVERED = (0.93, 0.97)
MOST = 1.5
"""Most questions of a sequential test, in lengths of the fixed exam."""
CONFIG = {"campaign": "simulated", "tutor": "none", "students": [{"id": "one", "model": "none"}], "curriculum": "none"}
BATCH = 8
"""Questions at a time of a test that begins with nothing."""


def decisions_of(check: int, probe: int) -> Decisions:
    """Give what a campaign with the defaults and these exams decides by."""
    return Decisions.of(CampaignConfig.model_validate({**CONFIG, "exams": {"probe": probe, "check": check}}))


DECISIONS = decisions_of(96, 32)
Array = Any
Move = Callable[[np.random.Generator, Array, Array], Array]
Grow = Callable[[Traces, Sitting, Sitting, int], Traces]


def run(options: list[str]) -> list[Row]:
    match options:
        case []:
            students = 10_000
        case ["--students", count] if count.isdigit() and int(count) >= 100:
            students = int(count)
        case _:
            raise SystemExit(f"cannot read {' '.join(options)}; known: --students N, 100 or more")
    return [*_coverage(students), *_tests()]


def _reflected(abilities: Array) -> Array:
    """Send back what walked past 0 or 1; what was uniform stays uniform."""
    folded = np.abs(abilities)
    return np.where(folded > 1, 2 - folded, folded)


def walk(rng: np.random.Generator, abilities: Array, _believed: Array) -> Array:
    return _reflected(abilities + rng.normal(0, 0.15, len(abilities)))


def jump(rng: np.random.Generator, abilities: Array, _believed: Array) -> Array:
    return np.where(rng.random(len(abilities)) < 0.25, rng.random(len(abilities)), abilities)


def rest(_rng: np.random.Generator, abilities: Array, _believed: Array) -> Array:
    return abilities


def tuition(rng: np.random.Generator, abilities: Array, believed: Array) -> Array:
    drifting = _reflected(abilities + rng.normal(0, 0.02, len(abilities)))
    taught = 1 - (1 - abilities) * rng.uniform(0.1, 0.8, len(abilities))
    return np.where(believed >= DECISIONS.mastery, drifting, taught)


@dataclass(frozen=True)
class World:
    """What is simulated."""

    move: Move = walk
    check: int = 96
    probe: int = 32
    luck: bool = False
    """Every answer is drawn anew; otherwise an item is as hard as it was."""
    gate: int = 0
    """Skills of a student whose mean on the check must not fall, or it stays what it was; 0 promotes always."""
    grow: Grow = renew


@dataclass(frozen=True)
class Found:
    """By cycle and student."""

    truth: Array
    low: Array
    high: Array
    asked: Array

    @property
    def covered(self) -> Array:
        return (self.low <= self.truth) & (self.truth <= self.high)


def simulate(world: World, students: int, seed: int) -> Found:
    """Let students be checked, probed and changed, and note what was believed before each change."""
    rng = np.random.default_rng(seed)
    items = [Item("skill", 1, str(place), "", str(place), "curriculum") for place in range(world.check + world.probe)]
    verdicts = [
        [Answered(Attempt(item, "", 1), Verdict(float(right), "", "")) for right in (0, 1)] for item in items
    ]  # fmt: skip
    abilities, hardness = rng.random(students), rng.random((students, len(items)))

    def sit(student: int, asked: list[Item]) -> Sitting:
        right = (hardness[student] < abilities[student]).tolist()
        return Sitting("check", tuple(verdicts[int(item.question)][right[int(item.question)]] for item in asked))

    decisions = decisions_of(world.check, world.probe)
    on_check, on_probe = items[: world.check], items[world.check :]
    checks = [sit(student, on_check) for student in range(students)]
    traces = [hear({}, check, 0) for check in checks]
    noted = np.zeros((CYCLES, 5, students))
    for cycle in range(1, CYCLES + 1):
        for student in range(students):
            asked = 0
            while batch := next_items(on_probe, traces[student], decisions):
                traces[student] = hear(traces[student], sit(student, list(batch)), cycle)
                asked += len(batch)
            known = believe(traces[student], decisions)["skill"]
            noted[cycle - 1, :, student] = abilities[student], known.low, known.high, asked, known.score
        before = abilities, hardness
        abilities = world.move(rng, abilities, noted[cycle - 1, 4])
        if world.luck:
            hardness = rng.random(hardness.shape)
        after = [sit(student, on_check) for student in range(students)]
        kept = _promoted(checks, after, world.gate)
        abilities = np.where(kept, abilities, before[0])
        hardness = np.where(kept[:, None], hardness, before[1])
        for student in np.flatnonzero(kept):
            traces[student] = world.grow(traces[student], checks[student], after[student], cycle)
            checks[student] = after[student]
    return Found(*(noted[:, place] for place in range(4)))


def _promoted(before: list[Sitting], after: list[Sitting], skills: int) -> Array:
    """Say whose checkpoint is kept; neighbours are the skills of one student."""
    if not skills:
        return np.ones(len(after), bool)
    means = [
        np.array([sum(it.verdict.passed for it in sat.answers) for sat in sats]).reshape(-1, skills).mean(1)
        for sats in (before, after)
    ]
    return np.repeat(means[1] >= means[0], skills)


def _keep_all(traces: Traces, _before: Sitting, after: Sitting, cycle: int) -> Traces:
    return hear(traces, after, cycle)


def _keep_none(_traces: Traces, _before: Sitting, after: Sitting, cycle: int) -> Traces:
    return hear({}, after, cycle)


def _coverage(students: int) -> list[Row]:
    """Count how often the interval holds the truth: everybody on the walk, a fifth of them elsewhere."""
    found = simulate(World(), students, seed=0)
    covered, truth, probe = found.covered, found.truth, World().probe
    said = "abilities uniform, a walk with steps of 0.15 a cycle, check 96, probe 32"
    rows = [_covered("walk", f"interval holds the truth: {said}", covered)]
    rows += [
        _covered(f"walk-cycle-{cycle + 1}", f"the same, cycle {cycle + 1}", covered[cycle : cycle + 1])
        for cycle in range(CYCLES)
    ]
    ends = (0.0, 0.05, 0.25, 0.5, 0.75, 0.85, 0.95, 1.0)
    rows += [
        _covered(f"walk-{low:.2f}", f"the same, abilities from {low:.2f} to {high:.2f}", covered,
                 (low <= truth) & (truth <= high))
        for low, high in pairwise(ends)
    ]  # fmt: skip
    stops = {
        "no question": found.asked == 0,
        "some": (found.asked > 0) & (found.asked < probe),
        "all": found.asked >= probe,
    }
    rows += [
        _covered(f"walk-{name.replace(' ', '-')}", f"the same, where the probe asked {name}", covered, where)
        for name, where in stops.items()
    ]
    width = (found.high - found.low).mean()
    rows.append(Row("walk-width", "mean width of the interval", float(width), "share"))
    asked = found.asked.mean(1) / probe
    said = ", ".join(f"{share:.0%}" for share in asked)
    rows.append(
        Row("walk-asked", "of the probe is asked, beside the check", float(found.asked.mean() / probe), "share",
            target="<= 0.5", met=bool(found.asked.mean() <= probe / 2), note=f"by cycle: {said}")
    )  # fmt: skip
    worlds = {
        "world-rest": ("abilities at rest", World(rest)),
        "world-jump": ("a quarter of the abilities drawn anew each cycle", World(jump)),
        "world-tuition": ("what is not mastered loses 20 to 90 % of its gap, the rest drifts by 0.02", World(tuition)),
        "world-luck": ("the walk, and luck decides each answer", World(luck=True)),
        "world-gate": ("the walk, five skills a student, kept if their mean on the check did not fall", World(gate=5)),
        "world-small": ("the walk, check 32, probe 16", World(check=32, probe=16)),
        "world-probe": ("the walk, check 16, probe 64", World(check=16, probe=64)),
        "world-probe-tuition": ("tuition, check 16, probe 64", World(tuition, check=16, probe=64)),
        "world-probe-rest": ("at rest, check 16, probe 64", World(rest, check=16, probe=64)),
    }
    rows += [_measured(name, what, world, students // 5) for name, (what, world) in worlds.items()]
    all_kept, dropped = World(tuition, 16, 64, grow=_keep_all), World(tuition, 16, 64, grow=_keep_none)
    contrasts = {
        "contrast-all-kept": ("tuition, check 16, probe 64, old answers never age", all_kept),
        "contrast-none-kept": ("tuition, check 16, probe 64, old answers are dropped", dropped),
        "contrast-none-kept-rest": (
            "at rest, check 16, probe 64, old answers are dropped",
            replace(dropped, move=rest),
        ),
    }
    # These are there to be compared with.
    return rows + [
        replace(_measured(name, what, world, students // 5), target="", met=None)
        for name, (what, world) in contrasts.items()
    ]


def _measured(name: str, what: str, world: World, students: int) -> Row:
    found = simulate(world, students - students % max(1, world.gate), seed=1)
    note = f"{found.asked.mean():.1f} of {world.probe} asked; width {(found.high - found.low).mean():.3f}"
    return _covered(name, f"interval holds the truth: {what}", found.covered, note=note)


def _covered(name: str, what: str, covered: Array, where: Array | None = None, note: str = "") -> Row:
    """Make a row of a share of intervals; cycles of one student are one draw."""
    where = np.ones_like(covered) if where is None else where
    share = covered[where].mean()
    misses = np.where(where, covered - share, 0).sum(0)
    half = normal_quantile() * math.sqrt((misses**2).sum()) / where.sum()
    note = "; ".join(filter(None, (f"n = {where.sum():,}", note)))
    return Row(
        name, what, float(share), "share", float(share - half), float(share + half),
        f"{COVERED[0]} to {COVERED[1]}", bool(COVERED[0] <= share <= COVERED[1]), note=note,
    )  # fmt: skip


def fixed_exam(low: float, high: float) -> tuple[int, int]:
    """Find the shortest exam, and its pass mark, that errs at most 5 % of the time at both edges of a zone."""
    n = 0
    while True:
        n += 1
        at_low, at_high = _binomial(n, low), _binomial(n, high)
        passing = np.flatnonzero(at_low[::-1].cumsum()[::-1] <= ERROR)
        if len(passing) and at_high[: passing[0]].sum() <= ERROR:
            return n, int(passing[0])


def _binomial(n: int, share: float) -> Array:
    right = np.arange(n + 1)
    ways = np.array([math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in right])
    return np.exp(ways + right * math.log(share) + (n - right) * math.log1p(-share))


def sequential(
    abilities: Array, threshold: float, decisions: Decisions, most: int, first: int = 0
) -> tuple[Array, Array]:
    """Work out, by ability, how often a test ends above a threshold, and after how many questions.

    Args:
        abilities: for which.
        threshold: of the decision that is looked at.
        decisions: of which all must be known before the test may end.
        most: questions after which it ends in any case.
        first: questions that were asked before it begins.
    """
    chance = np.zeros((len(abilities), most + 1))
    chance[:, 0] = 1
    above, questions, n = np.zeros(len(abilities)), np.zeros(len(abilities)), 0
    while n < most:
        for _ in range(min(decisions.batch if n >= first else first, most - n)):
            right = np.zeros_like(chance)
            right[:, 1:] = chance[:, :-1] * abilities[:, None]
            chance = chance * (1 - abilities[:, None]) + right
            n += 1
        stops = np.array([n == most or not undecided(k, n - k, decisions) for k in range(n + 1)])
        upper = np.array([beta_below(threshold, 1 + k, 1 + n - k) <= 0.5 for k in range(n + 1)])
        ended = np.where(stops, chance[:, : n + 1], 0)
        above += (ended * upper).sum(1)
        questions += n * ended.sum(1)
        chance[:, : n + 1] -= ended
    return above, questions


def _edges(threshold: float, zone: float) -> Array:
    half = min(zone, threshold / 2, (1 - threshold) / 2)
    return np.array([threshold - half, threshold + half])


def _tests() -> list[Row]:
    """Compare the sequential test of each threshold with a fixed exam for the same decision."""
    rows, lengths = [], {}
    for zone in (DECISIONS.zone, DECISIONS.zone / 2):
        for threshold in DECISIONS.thresholds:
            decisions = replace(DECISIONS, thresholds=(threshold,), zone=zone, batch=BATCH)
            low, high = _edges(threshold, zone)
            at = f"{threshold} ± {(high - low) / 2:.2g}"
            if at not in lengths:
                lengths[at], mark = fixed_exam(low, high)
                rows += _test(at.replace(" ± ", "-"), at, threshold, decisions, lengths[at], f"pass mark {mark}")
    longest = max(list(lengths.values())[: len(DECISIONS.thresholds)])
    rows += _test(
        "all", "all four decisions", DECISIONS.mastery, replace(DECISIONS, batch=BATCH), longest, "errors of the first"
    )
    single = replace(DECISIONS, thresholds=(DECISIONS.mastery,), batch=1)
    rows += _test("single", "mastery, one question at a time", DECISIONS.mastery, single, longest, "")
    return [*rows, *(_campaign(check, probe) for check, probe in ((96, 32), (128, 64), (32, 16)))]


def _test(name: str, what: str, threshold: float, decisions: Decisions, length: int, note: str) -> list[Row]:
    most = math.ceil(MOST * length)
    grid = (np.arange(1000) + 0.5) / 1000
    _, questions = sequential(grid, threshold, decisions, most)
    mean, worst = float(questions.mean()), float(questions.max())
    asked = f"{mean:.1f} of {length} questions, at most {most}, {decisions.batch} at a time"
    return [
        Row(f"test-{name}", f"questions, of a fixed exam's: {what}, abilities uniform", mean / length, "share",
            target="<= 0.5", met=mean <= length / 2, note="; ".join(filter(None, (asked, note)))),
        Row(f"test-{name}-worst", "the same, at the worst ability", worst / length, "share",
            note=f"{worst:.1f} questions at {grid[questions.argmax()]:.2f}"),
        _error(f"test-{name}-error", threshold, decisions, most),
    ]  # fmt: skip


def _error(name: str, threshold: float, decisions: Decisions, most: int, first: int = 0, said: str = "") -> Row:
    edges = _edges(threshold, decisions.zone)
    above, _ = sequential(edges, threshold, decisions, most, first)
    errors = above[0], 1 - above[1]
    note = f"{errors[0]:.1%} at {edges[0]:.2f}, {errors[1]:.1%} at {edges[1]:.2f}"
    return Row(
        name, f"larger error at the edges of the zone{said}", float(max(errors)), "share",
        target=f"<= {ERROR}", met=bool(max(errors) <= ERROR), note=note,
    )  # fmt: skip


def _campaign(check: int, probe: int) -> Row:
    """Say what a campaign errs, which has asked its check before the probe begins, and has no more items."""
    said = f", mastery after a check of {check} and a probe of at most {probe}"
    return _error(
        f"campaign-{check}-{probe}", DECISIONS.mastery, decisions_of(check, probe), check + probe, check, said
    )
