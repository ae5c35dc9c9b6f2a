"""Every objective and every adaptation, each trained for real on one skill of the abacus curriculum.

    python -m benchmarks run methods [fresh]

A cell takes lessons that abacus made for the novice (its demonstrations, its criticism of the novice's own attempts,
its probabilities for what the student writes, pairs told apart by the grader), trains one student, and asks it 256
held-out questions before and after. Finished cells lie below `runs/methods` and are not trained again, unless `fresh`
is said; the commit at which a cell was trained ends its note.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.results import Row, commit
from tft.config.adapters import (
    AnyAdapter,
    BottleneckAdapter,
    ClassifierTask,
    FullAdapter,
    HeadAdapter,
    LoraAdapter,
    PeftAdapter,
    PrefixAdapter,
    PromptAdapter,
    RegressorTask,
    RewardTask,
)
from tft.config.campaign import LESSONS_A_BATCH, CampaignConfig
from tft.config.training import ObjectivesConfig, TrainingConfig
from tft.engines.encoding import score_answers
from tft.exams.examiner import SitRequest, sit
from tft.lessons import (
    ContestRequest,
    CritiqueRequest,
    CurateRequest,
    DemonstrationRequest,
    contest,
    criticise,
    curate,
    demonstrate,
    for_own_work,
)
from tft.library import Library
from tft.preparation import prepare
from tft.statistics import paired_difference
from tft.student.models import open_student
from tft.student.saved import REWARD_KEY, read_reward_model
from tft.training import TrainRequest, train
from tft.tutor import NO_LIMIT

if TYPE_CHECKING:
    from tft.preparation import Prepared
    from tft.records import Checkpoint, Lesson, Sitting
    from tft.student import StudentRef

SKILL = "sub_2"
LESSONS = 900
PLACE = Path("runs/methods")
FULL, LORA = FullAdapter(), LoraAdapter(r=64, alpha=64)
OPD: dict[str, Any] = {"type": "distillation", "steps_a_roll_out": 4}
PRACTICE = {"batch_size": 128}


@dataclass(frozen=True)
class Cell:
    """One thing to try."""

    name: str
    adapter: AnyAdapter
    kind: str
    """Kind of lesson it learns from."""
    objectives: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    learning_rate: float | None = None
    before: str = "novice"
    """The student it begins with: the novice, or one that is right now and then, made from it by demonstrations."""
    note: str = ""


def cells() -> list[Cell]:
    """List all cells."""
    objectives: list[tuple[str, str, dict[str, Any], dict[str, Any], str]] = [
        ("supervised", "demonstration", {}, {"epochs": 5}, "novice"),
        ("critique", "critique", {}, {"epochs": 5}, "novice"),
        *(
            (f"distillation-{name}", "feedback", {"feedback": {**OPD, "divergence": name, "epochs": 3, **more}}, {},
             "novice")
            for name, more in (("forward_kl", {}), ("reverse_kl", {}), ("jensen_shannon", {}),
                               ("sampled", {"rate": 0.1}))
        ),
        ("distillation-top-8", "feedback", {"feedback": {**OPD, "top_k": 8, "epochs": 3}}, {}, "novice"),
        ("distillation-off-policy", "feedback", {"feedback": {**OPD, "on_policy": 0.0, "epochs": 3}}, {}, "novice"),
        ("dpo", "preference", {"preference": {"type": "dpo", "epochs": 3}}, {}, "halfway"),
        ("dpo-alone", "preference", {"preference": {"type": "dpo", "supervised": 0.0, "rate": 0.03, "epochs": 3}}, {},
         "halfway"),
        ("dpo-ipo", "preference", {"preference": {"type": "dpo", "loss": "ipo", "beta": 0.3, "epochs": 3}}, {},
         "halfway"),
        ("dpo-simpo", "preference", {"preference": {"type": "dpo", "loss": "simpo", "beta": 2.0, "epochs": 3}}, {},
         "halfway"),
        ("kto", "preference", {"preference": {"type": "kto", "epochs": 3}}, {}, "halfway"),
        ("grpo", "practice", {"practice": "grpo"}, PRACTICE, "halfway"),
        ("rloo", "practice", {"practice": "rloo"}, PRACTICE, "halfway"),
        ("ppo", "practice", {"practice": {"type": "ppo", "group": 4}}, PRACTICE, "halfway"),
    ]  # fmt: skip
    made = [
        Cell(f"{name}/{adapter.type}", adapter, kind, {**options}, training, None, before)
        for name, kind, options, training, before in objectives
        for adapter in (FULL, LORA)
    ]
    adaptations: list[tuple[str, AnyAdapter, float | None, int]] = [
        ("dora", LoraAdapter(r=16, dora=True), None, 5),
        ("rslora", LoraAdapter(r=64, alpha=16, rslora=True), None, 5),
        ("prefix", PrefixAdapter(tokens=32), 0.1, 30),
        ("prompt", PromptAdapter(tokens=32), 0.3, 20),
        ("bottleneck", BottleneckAdapter(width=128), 0.02, 8),
        ("ia3", PeftAdapter(method="IA3"), 0.03, 10),
        ("loha", PeftAdapter(method="LOHA", options={"r": 16, "target_modules": "all-linear"}), 0.01, 8),
    ]
    for name, adapter, rate, epochs in adaptations:
        made.append(Cell(f"supervised/{name}", adapter, "demonstration", {}, {"epochs": epochs}, rate))
        feedback = {"feedback": {**OPD, "epochs": min(10, max(3, epochs // 2))}}
        made.append(Cell(f"distillation-reverse_kl/{name}", adapter, "feedback", feedback, {}, rate))
    rewarded = {"practice": {"type": "grpo", "reward": str(_folder("reward/full"))}}
    for body in (FULL, LORA):
        reward, labels, numbers = (
            HeadAdapter(task=task, body=body) for task in (RewardTask(), ClassifierTask(), RegressorTask())
        )
        made += [
            Cell(f"reward/{body.type}", reward, "preference", {}, {"epochs": 5}, None, "halfway"),
            Cell(f"classification/{body.type}", labels, "demonstration", {}, {"epochs": 30}),
            Cell(f"regression/{body.type}", numbers, "demonstration", {}, {"epochs": 30}),
            Cell(f"grpo-rewarded/{body.type}", body, "practice", rewarded, PRACTICE, None, "halfway"),
        ]
    return made


def _folder(cell: str) -> Path:
    """Say where the student of a cell lies."""
    return (PLACE / "students" / cell.replace("/", "-")).resolve()


def run(options: list[str]) -> list[Row]:
    torch.set_num_threads(1)
    if "fresh" in options:
        shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True, exist_ok=True)
    desk = _Desk()
    rows = []
    for cell in cells():
        found = PLACE / f"{cell.name.replace('/', '-')}.json"
        if not found.exists():
            found.write_text(json.dumps(asdict(desk.fill(cell))))
        rows.append(Row(**json.loads(found.read_text())))
        print(rows[-1].id, f"{rows[-1].value:.3f}", rows[-1].note, flush=True)
    return rows


def judge(low: float, high: float, *, fell: bool) -> tuple[bool, str]:
    """Say whether a cell learned, and where its right answers do not show it, by what; for its note.

    Args:
        low: of the interval of the gain in right answers.
        high: of the same.
        fell: whether the cross-entropy of the tutor's right answers fell.
    """
    if low > 0:
        return True, ""
    if high <= 0:
        return False, "; right answers surely fell" if high < 0 else ""
    return fell, "; by cross-entropy only" if fell else ""


class _Desk:
    """Makes the lessons, once, and trains and examines students."""

    def __init__(self) -> None:
        config = CampaignConfig.model_validate(
            {"campaign": "methods", "seed": 11, "tutor": "abacus", "curriculum": "arithmetic",
             "students": [{"id": "novice", "model": "abacus/novice-a"}], "exams": {"final": 256},
             "cluster": "inline", "cache": str(PLACE / "cache")}
        )  # fmt: skip
        self._prepared: Prepared = prepare(config, Library(Path("configs")), PLACE / "run")
        self._grader = self._prepared.curriculum.grader
        self._exam = tuple(it for it in self._prepared.splits.items["final"] if it.skill == SKILL)
        self._novice = self._prepared.students[0]
        self._lessons: dict[tuple[str, str], tuple[Lesson, ...]] = {}
        self._students = {"novice": self._novice}
        self._sat: dict[str, tuple[Sitting, float]] = {}

    def fill(self, cell: Cell) -> Row:
        """Train and examine one student."""
        student = replace(self._student(cell.before, cell.adapter), id=cell.name)
        lessons = self._made(cell.kind, cell.before)[:LESSONS]
        before, cross_before = self._examine(student)
        start = time.perf_counter()
        learned, checkpoint = self._train(student, lessons, cell)
        seconds = time.perf_counter() - start
        after, cross = self._examine(learned)
        marks = [[answer.verdict.passed for answer in sitting.answers] for sitting in (before, after)]
        change, low, high = paired_difference(*marks)
        right = [sum(them) / len(them) for them in marks]
        fell = cross is not None and cross_before is not None and cross < cross_before - 0.02
        told = f"right {right[0]:.1%} → {right[1]:.1%}"
        if cross is not None:
            told += f"; answer cross-entropy {cross_before:.3f} → {cross:.3f}"
        for name in ("preferred", "reward", "graded"):
            if name in checkpoint.measures:
                first, last = checkpoint.measures[name]
                told += f"; {name} {first:.2f} → {last:.2f}"
        learns, how = judge(low, high, fell=fell)
        told += how
        note = f"{told}; {len(lessons)} lessons, {checkpoint.steps} steps, {seconds:.0f} s; {commit()}"
        return Row(cell.name, f"gain in right answers, {SKILL}, n = {len(self._exam)}", change, "share", low, high,
                   "learns, within 90 s", learns and seconds <= 90, note=note)  # fmt: skip

    def _student(self, name: str, adapter: AnyAdapter) -> StudentRef:
        """Give the student a cell begins with: of the novice's weights, or of one that is right now and then."""
        if name == "halfway" and name not in self._students:
            few = self._made("demonstration", "novice")[:300]
            taught = replace(self._novice, id="halfway", adapter=FULL)
            learned, _ = self._train(taught, few, Cell("halfway", FULL, "demonstration", training={"epochs": 3}))
            # What it learned is its base: every cell puts its own adapter on it.
            self._students[name] = replace(
                learned, base_path=str(learned.checkpoint_path), base=str(learned.digest), checkpoint_path=None,
                digest=None,
            )  # fmt: skip
        return replace(self._students[name], adapter=adapter)

    def _train(self, student: StudentRef, lessons: tuple[Lesson, ...], cell: Cell) -> tuple[StudentRef, Checkpoint]:
        config = TrainingConfig(**cell.training, objectives=ObjectivesConfig.model_validate(cell.objectives))
        folder = _folder(cell.name)
        judge = config.objectives.reward_model
        rewards = None if judge is None else read_reward_model(Path(judge.model), REWARD_KEY)
        request = TrainRequest(
            student, lessons, config, cell.learning_rate, 1.0, 5, str(folder), 48, self._grader, self._prepared.tutor,
            reward=rewards,
        )  # fmt: skip
        checkpoint = train(request)
        return replace(student, checkpoint_path=str(folder), digest=checkpoint.digest), checkpoint

    def _examine(self, student: StudentRef) -> tuple[Sitting, float | None]:
        """Give its answers to the held-out questions, and its cross-entropy on the tutor's right answers to them.

        A student that is read instead of writing has none.
        """
        if isinstance(student.adapter, HeadAdapter):
            return sit(SitRequest(student, "final", self._exam, self._grader, 48)), None
        name = student.digest or student.base
        if name not in self._sat:
            sitting = sit(SitRequest(student, "final", self._exam, self._grader, 48))
            engine = open_student(student)
            held = self._made("demonstration", "novice")[LESSONS:]
            prompts = engine.encode([lesson.examples[0].messages[:1] for lesson in held])
            end = engine.encode.end_of_answer
            scores = score_answers(engine.tokenizer, prompts, [lesson.answer for lesson in held], end, engine.logprobs)
            tokens = sum(len(it.logprobs) for it in scores)
            self._sat[name] = (sitting, -math.fsum(math.fsum(it.logprobs) for it in scores) / tokens)
        return self._sat[name]

    def _made(self, kind: str, who: str) -> tuple[Lesson, ...]:
        """Make the lessons of a kind; the last hundred demonstrations are held out for the cross-entropy."""
        key = (kind, who if kind in ("critique", "preference") else "novice")
        if key not in self._lessons:
            self._lessons[key] = self._make(kind, who)
        return self._lessons[key]

    def _make(self, kind: str, who: str) -> tuple[Lesson, ...]:
        if kind == "demonstration":
            return self._demonstrate()
        shown = self._made("demonstration", "novice")[:LESSONS]
        student = self._student(who, FULL)
        if kind == "critique":
            items = tuple(lesson.item for lesson in shown)
            sat = sit(SitRequest(student, "practice", items, self._grader, 48))
            wrong = tuple(it for it in sat.answers if not it.verdict.passed)
            card = self._prepared.tutor_card
            offered = criticise(
                CritiqueRequest(self._prepared.tutor, wrong, card.longest_attempt, self._grader.marker, NO_LIMIT)
            )
        elif kind == "preference":
            offered = contest(ContestRequest(student, shown, 6, 1.0, self._grader, 48, 3))
        else:
            assert kind in ("feedback", "practice")
            return for_own_work(shown, kind)  # type: ignore[arg-type]
        return curate(CurateRequest(offered.lessons, self._grader, self._prepared.held_out())).kept

    def _demonstrate(self) -> tuple[Lesson, ...]:
        made: list[Lesson] = []
        number = 0
        while len(made) < LESSONS + 100:
            offered = demonstrate(
                DemonstrationRequest(
                    tutor=self._prepared.tutor,
                    items_path=self._prepared.items_path,
                    skill=SKILL,
                    title=self._prepared.skills[SKILL].title,
                    levels=self._prepared.skills[SKILL].levels,
                    marker=self._grader.marker,
                    number=number,
                    size=LESSONS_A_BATCH,
                    known=tuple(sorted(it.item.question for it in made)),
                    held_out=self._prepared.held_out(),
                    seed=11,
                    allowance=NO_LIMIT,
                )
            )
            made += curate(CurateRequest(offered.lessons, self._grader, self._prepared.held_out())).kept
            number += 1
        return tuple(made)
