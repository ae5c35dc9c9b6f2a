"""The training loop: one student, its lessons of one cycle, one checkpoint.

Each kind of lesson has an objective; their steps take turns, evenly spread over the cycle, under one optimiser with a
linear warm-up and a cosine to a twentieth. A loss or gradient that is not finite ends the stage before it touches a
weight. Where memory runs out, fewer rows are in it at once, and the step stays what it is. From time to time all that
the stage needs to go on is written down, so that one that was interrupted goes on from there, with the same result.
"""

from __future__ import annotations

import math
import random
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tft import plugins
from tft.config.adapters import HeadAdapter
from tft.config.cards import GraderConfig
from tft.config.training import TrainingConfig
from tft.errors import StageError
from tft.records import Checkpoint, Lesson, Usage
from tft.student import StudentRef, write_checkpoint
from tft.student.adapting import write_down
from tft.student.heads import write_head
from tft.student.models import adapt, adapt_head, close_students, open_reader
from tft.student.shortage import give_back, is_out_of_memory
from tft.training.asking import open_scorer
from tft.training.gradients import clip
from tft.training.learner import Learner
from tft.training.objective import Objective, Setting, Step, Unit
from tft.training.optimizers import Optimizers
from tft.training.rates import learning_rate_at, usual_learning_rate
from tft.training.reader import Reader
from tft.training.snapshots import Progress, forget, restore, snapshot
from tft.training.workers import ALONE, Workers, average
from tft.tutor import TutorRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tft.config.training import AnyObjective

_SNAPSHOT_EVERY = 300.0
"""Seconds."""
_OWN = {"feedback": "feedback", "preference": "preference", "verdict": "preference", "practice": "practice"}
"""Kinds of lesson with an objective of their own, and which; all others teach answers."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What to train on, and where to put what comes of it."""

    student: StudentRef
    lessons: tuple[Lesson, ...]
    config: TrainingConfig
    learning_rate: float | None
    """Peak; None means the default of the adapter."""
    learning_rate_scale: float
    seed: int
    folder_path: str
    """Where the checkpoint goes."""
    max_tokens: int = 64
    """Longest answer the student may write."""
    grader: GraderConfig | None = None
    """For practice."""
    tutor: TutorRef | None = None
    """For feedback."""
    reward: StudentRef | None = None
    """Whose reward head gives rewards in practice; None means that the grader does."""


def train(request: TrainRequest) -> Checkpoint:
    """Train a student on its lessons and write a checkpoint; where there are several workers, all of them call this.

    Returns:
        The checkpoint; its path is the folder of the request.

    Raises:
        StageError: if loss or gradient are not finite, the checkpoint cannot be written, or there are more or fewer
            workers than the config says.
    """
    workers = Workers.here(request.config)
    close_students()
    learner = open_learner(request, workers)
    if request.config.checkpoint_activations:
        learner.checkpoint_activations()
    with matrix_products(request.config.precision):
        course = Course(request, learner, workers=workers)
        learn(course)
    state = learner.whole()
    save = partial(save_learner, learner, request.student, state=state)
    return course.end(workers.first(lambda: write_checkpoint(Path(request.folder_path), save)))


def open_learner(request: TrainRequest, workers: Workers = ALONE) -> Learner:
    """Open a student to learn: one that writes, or one that is read; whole, or in shards among workers."""
    if isinstance(request.student.adapter, HeadAdapter):
        references = [it.item.reference for it in request.lessons if it.item.reference is not None]
        headed, tokenizer = adapt_head(request.student, request.seed, references)
        workers.agree([weight for weight in headed.parameters() if weight.requires_grad])
        return Reader(headed, tokenizer)
    model, tokenizer = adapt(request.student, request.seed)
    workers.agree([weight for weight in model.parameters() if weight.requires_grad])
    if not workers.in_step:
        return Learner(model, tokenizer)
    from tft.training.sharded import ShardedLearner

    return ShardedLearner(model, tokenizer, workers)


def save_learner(
    learner: Learner, student: StudentRef, folder: Path, *, state: dict[str, torch.Tensor] | None = None
) -> None:
    """Write what a student has learned into a folder; ``state`` is all of it, where it lies in shards."""
    if isinstance(learner, Reader):
        write_head(learner.model, learner.tokenizer, student.base_path, folder)
    else:
        write_down(learner.model, learner.tokenizer, student.adapter, folder, state)


@dataclass(frozen=True, slots=True)
class _Turn:
    """An objective's turn."""

    name: str
    objective: Objective
    unit: Unit
    rate: float


class Course:
    """One student's way through its lessons: which step comes next, and what it does to the weights.

    Args:
        request: what is learned.
        learner: the student.
        snapshots: write down now and then where it is; not in a classroom, whose students would be resumed apart.
        workers: those who train it together.
    """

    def __init__(
        self, request: TrainRequest, learner: Learner, *, snapshots: bool = True, workers: Workers = ALONE
    ) -> None:
        self.learner = learner
        self.workers = workers
        self.micro_batch = request.config.micro_batch
        self._request = request
        reward = open_reader(request.reward) if request.reward is not None else None
        self._setting = Setting(
            learner, request.config, request.seed, request.max_tokens, request.grader,
            open_scorer(request.tutor, workers), reward, workers=workers,
        )  # fmt: skip
        # What objectives bring begins alike everywhere.
        torch.manual_seed(request.seed)
        self._turns = _take_turns(_plan(request, self._setting))
        modules = {id(module): module for turn in self._turns for module in turn.objective.modules}
        beside = torch.nn.ModuleList(modules.values())
        self._weights = [*learner.weights, *beside.parameters()]
        self._kept = [*self._weights, *beside.buffers()]
        width = learner.model.config.get_text_config().hidden_size
        usual = usual_learning_rate(request.student, width, request.config.optimizer.type)
        self._peak = (request.learning_rate or usual) * request.learning_rate_scale
        self._optimizers = Optimizers(
            request.config.optimizer, self._weights, learner.tables, request.config.weight_decay
        )
        # What is left out by chance differs from worker to worker.
        torch.manual_seed(request.seed + workers.rank)
        self._progress = Progress()
        self._folder = Path(request.folder_path)
        self._snapshots = snapshots
        self._under_way: tuple[Step, str] | None = None

    @property
    def measures(self) -> Mapping[str, Sequence[float]]:
        """What objectives told of themselves, step by step."""
        return self._setting.measures

    def noted(self) -> dict[str, int]:
        """Say how often each measure has been noted."""
        return {name: len(values) for name, values in self.measures.items()}

    def steps(self) -> Iterator[Step]:
        """Give the steps that are left; each is to be taken before the next is asked for."""
        # After the objectives are made: some of them look at the student as it came into the cycle.
        if self._snapshots:
            restore(self._folder, self._request, self._kept, self._optimizers, self._progress, self._setting)
            self._start_together()
            self.micro_batch = self._progress.micro_batch or self.micro_batch
        written = time.monotonic()
        for number in range(self._progress.turns, len(self._turns)):
            turn = self._turns[number]
            share = learning_rate_at(number, len(self._turns), self._request.config.warmup)
            self._optimizers.set_rate(self._peak * share * turn.rate)
            for step in turn.objective.steps(turn.unit):
                self._under_way = (step, turn.name)
                yield step
            self._progress.turns = number + 1
            if self._snapshots and self.workers.first(partial(_is_due, written)):
                snapshot(self._folder, self._request, self._kept, self._optimizers, self._progress, self._setting)
                written = time.monotonic()

    def _start_together(self) -> None:
        places = self.workers.gather(self._progress.turns)
        if len(set(places)) > 1:
            raise StageError(
                f"{self._request.student.id}: its workers would go on from turns {places}, so they do not see the same "
                f"files under {self._folder.parent}: put the run directory where every machine reaches it"
            )

    def add_up(self, loss: float, rows: int, noted: Mapping[str, int]) -> float:
        """Add up what the workers found out in the step under way.

        Args:
            loss: of this worker's rows.
            rows: how many they are.
            noted: how often each measure had been noted before this try.

        Returns:
            The loss of the step.
        """
        if self.workers.alone:
            return loss
        self.workers.add_up(self._weights)
        noted_now = {name: values[noted.get(name, 0) :] for name, values in self._setting.measures.items()}
        mine = {name: sum(values) / len(values) for name, values in noted_now.items() if values}
        told = self.workers.gather((loss, rows, mine))
        for name, value in average([(count, notes) for _, count, notes in told]).items():
            del self._setting.measures.setdefault(name, [])[noted.get(name, 0) :]
            self._setting.note(name, value)
        return sum(it for it, *_ in told)

    def part(self, step: Step) -> int:
        """Say how many rows of a step are in memory at once; rows that belong together stay so."""
        groups = len(step.rows) / step.together
        share = math.ceil(groups / self.workers.count) * step.together
        size = min(self.micro_batch or share, share)
        return max(step.together, size - size % step.together)

    def take(self, loss: float) -> None:
        """Take the step whose gradients are there.

        Raises:
            StageError: if loss or gradient are not finite; no weight was touched.
        """
        assert self._under_way is not None
        step, name = self._under_way
        norm = clip(self._weights, self._request.config.max_grad_norm)
        self._progress.steps += 1
        if not (math.isfinite(loss) and torch.isfinite(norm)):
            cure = f"Lower students.learning_rate (peak now {self._peak:g})"
            if self._progress.steps == 1:
                cure = "No step was taken before it, so that it is not the learning rate"
            raise StageError(
                f"{self._request.student.id}: the loss of {name} is {loss} and the gradient's norm {norm.item()} at "
                f"step {self._progress.steps}; nothing was saved. {cure}"
            )
        self._optimizers.step()
        self._setting.note(f"loss {name}", loss)
        for row in step.rows:
            self._progress.tokens[row.skill] += len(row.tokens)

    def halve(self, size: int, noted: Mapping[str, int]) -> None:
        """Have fewer rows in memory from now on, and forget gradients and measures of the step under way.

        Args:
            size: rows that did not fit.
            noted: how often each measure had been noted before this try.
        """
        assert self._under_way is not None
        self._optimizers.zero_grad()
        for name, values in self._setting.measures.items():
            del values[noted.get(name, 0) :]
        give_back()
        self.micro_batch = self._progress.micro_batch = max(self._under_way[0].together, size // 2)
        self._setting.note("micro_batch", self.micro_batch)

    def end(self, digest: str) -> Checkpoint:
        """Sum the course up, when its checkpoint is written."""
        forget(self._folder)
        for name, rows in asdict(self.learner.at_once).items():
            if rows is not None:
                self._setting.note(f"{name}_at_once", rows)
        every = list(self.learner.model.parameters())
        trainable = sum(map(_count, self.learner.weights))
        measures = {name: _ends(values) for name, values in sorted(self._setting.measures.items())}
        first = measures.get("loss answers")
        return Checkpoint(
            path=self._request.folder_path,
            digest=digest,
            trained_tokens=sum(self._progress.tokens.values()),
            trained_tokens_by_skill=dict(sorted(self._progress.tokens.items())),
            steps=self._progress.steps,
            loss_first=None if first is None else first[0],
            loss_last=None if first is None else first[1],
            trainable_share=trainable / sum(map(_count, every)),
            measures=measures,
            usage=sum(self._setting.used, Usage()),
        )


def learn(course: Course) -> None:
    """Take every step of a course that is left."""
    for step in course.steps():
        course.take(_backward(course, step))


def _backward(course: Course, step: Step) -> float:
    """Add up the gradients of a step, part by part; in smaller parts where memory runs out."""
    chance = torch.get_rng_state()
    short: RuntimeError | None = None
    while True:
        size, noted = course.part(step), course.noted()
        try:
            total, rows = _add_gradients(course, step, size)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if course.workers.in_step:
                # The others wait for this one's part of a layer.
                told = f"memory ran out with {size} rows in it, and workers of fsdp cannot part a step anew"
                raise StageError(f"{told}: set training.micro_batch lower than that") from error
            short = error
        if not any(course.workers.gather(short is not None)):
            return course.add_up(total, rows, noted)
        if size <= step.together:
            raise short or StageError("memory ran out at another worker")
        # What had been computed hangs on the error, and would be in memory beside the smaller parts.
        short = None
        course.halve(size, noted)
        torch.set_rng_state(chance)


def _add_gradients(course: Course, step: Step, size: int) -> tuple[float, int]:
    """Add up the gradients of this worker's share of a step; give its loss, and how many rows it is."""
    total, rows = 0.0, 0
    for part, divisor in course.workers.parts(step, size):
        loss = step.loss(course.learner.predict(part)) / divisor
        torch.autograd.backward(loss)
        total += loss.item()
        rows += len(part) if divisor == step.weight else 0
    return total, rows


def _plan(request: TrainRequest, setting: Setting) -> dict[str, list[_Turn]]:
    """Give every objective that has lessons its turns, in the order it wants them."""
    adapter = request.student.adapter
    sorts: dict[str, list[Lesson]] = {}
    for lesson in request.lessons:
        # A head learns what it is for, whatever kind of lesson it learns it from.
        name = adapter.task.type if isinstance(adapter, HeadAdapter) else _OWN.get(lesson.kind, "answers")
        sorts.setdefault(name, []).append(lesson)
    planned = {}
    for name in sorted(sorts):
        config: AnyObjective = getattr(request.config.objectives, name)
        objective: Objective = plugins.load("tft.objectives", config.type)(config, setting)
        rng = random.Random(f"train {request.seed}" if name == "answers" else f"train {request.seed} {name}")
        units = objective.units(sorts[name], rng)
        planned[name] = [_Turn(name, objective, unit, config.rate) for unit in units]
    return planned


def _take_turns(planned: Mapping[str, Sequence[_Turn]]) -> list[_Turn]:
    """Spread the turns of all objectives evenly over the stage."""
    placed = [
        ((place + 0.5) / len(turns), name, turn) for name, turns in planned.items() for place, turn in enumerate(turns)
    ]
    return [turn for *_, turn in sorted(placed, key=lambda it: it[:2])]


def _count(weight: torch.nn.Parameter) -> int:
    """Count the numbers of a weight; two of four bits share a byte."""
    packed = getattr(weight, "quant_state", None)
    return weight.numel() if packed is None else math.prod(packed.shape)


def _is_due(written: float) -> bool:
    return time.monotonic() - written > _SNAPSHOT_EVERY


def _ends(values: Sequence[float]) -> tuple[float, float]:
    tenth = max(1, len(values) // 10)
    return sum(values[:tenth]) / tenth, sum(values[-tenth:]) / tenth


@contextmanager
def matrix_products(precision: str) -> Iterator[None]:
    """Round the factors of float32 matrix products to bfloat16 while training, where that is faster.

    Only products are rounded; sums, weights and gradients stay float32.
    """
    before = torch.get_float32_matmul_precision()
    # torch names the test for AMX instructions with an underscore; there is no public one.
    fast = torch.cuda.is_available() or torch.cpu._is_amx_tile_supported()
    rounded = precision == "bf16_products" or (precision == "auto" and fast)
    torch.set_float32_matmul_precision("medium" if rounded else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
