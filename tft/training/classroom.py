"""The classroom: several LoRA students of one base, trained in one forward and one backward pass.

The base is read once. In every adapted layer the rows of the class lie student by student, and each student's rows go
through the weight with that student's own product added to it, all in one batched matrix product. Losses are added up,
and because no weight is shared, each student gets the gradients it would get alone. All else is its own: lessons,
objectives, optimiser, learning rate, clipping. What is saved are ordinary PEFT adapters.

Left out on purpose: dropout, in the adapters or in the base, because chance would strike other rows than alone; DoRA;
bases in four bits; and adapters of different rank or layers. Those students are trained one by one.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.nn.functional as F  # noqa: N812

from tft.config.adapters import LoraAdapter
from tft.engines.transformers import TransformersEngine
from tft.errors import StageError
from tft.fitting import dropout_of, read_dropout
from tft.records import Checkpoint
from tft.student import write_checkpoint
from tft.student.adapting import write_down
from tft.student.models import adapt_model, close_students, load_base
from tft.student.shortage import AtOnce, is_out_of_memory
from tft.training.learner import Learner, Predictions
from tft.training.loop import Course, TrainRequest, matrix_products, train
from tft.training.lora import NARROW, may_merge
from tft.training.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from peft import PeftModel

    from tft.training.objective import Step


Who = TypeVar("Who")


@dataclass(frozen=True, slots=True)
class ClassRequest:
    """Students that are trained together; see :func:`may_sit_together`."""

    students: tuple[TrainRequest, ...]


@dataclass(frozen=True, slots=True)
class ClassResult:
    """Their checkpoints, in the same order."""

    checkpoints: tuple[Checkpoint, ...]


def may_sit_together(one: TrainRequest, other: TrainRequest) -> bool:
    """Say whether two students can share a classroom: one base, and adapters of one shape.

    None of them may have dropout, in its adapter or its base, DoRA, or a base in four bits.
    """
    first, second = one.student.adapter, other.student.adapter
    return (
        isinstance(first, LoraAdapter)
        and isinstance(second, LoraAdapter)
        and first.dropout == 0.0
        and first.quantize is None
        and not first.dora
        and first == second
        and one.student.base == other.student.base
        and one.student.chat_template == other.student.chat_template
        and one.config.precision == other.config.precision
        and read_dropout(one.student.base_path) == 0.0
    )


def seat(waiting: Sequence[tuple[Who, TrainRequest]]) -> list[list[tuple[Who, TrainRequest]]]:
    """Put students into classrooms: each with the first group that it fits into."""
    groups: list[list[tuple[Who, TrainRequest]]] = []
    for who, request in waiting:
        group = next((it for it in groups if may_sit_together(it[0][1], request)), None)
        if group is None:
            groups.append([(who, request)])
        else:
            group.append((who, request))
    return groups


def train_together(request: ClassRequest) -> ClassResult:
    """Train students side by side, each as if it were alone, and write their checkpoints.

    Raises:
        StageError: if they cannot share a classroom, if a loss or gradient is not finite, or a checkpoint cannot be
            written.
    """
    first = request.students[0]
    if not all(may_sit_together(first, other) for other in request.students):
        raise StageError(
            "these students cannot share a classroom: base or adapters differ, or have dropout, DoRA or four bits"
        )
    close_students()
    room = None
    with suppress(_OwnWayError):
        room = Classroom(request.students)
    # Outside of a handler, because the base that was loaded hangs on the error.
    if room is None:
        return ClassResult(tuple(train(it) for it in request.students))
    with matrix_products(first.config.precision):
        courses = [Course(it, Seat(room, place), snapshots=False) for place, it in enumerate(request.students)]
        _teach(room, courses)
    checkpoints = []
    for place, (it, course) in enumerate(zip(request.students, courses, strict=True)):
        room.show(place)
        folder = Path(it.folder_path)
        save = partial(write_down, room.model, room.tokenizer, it.student.adapter)
        checkpoints.append(course.end(write_checkpoint(folder, save)))
    return ClassResult(tuple(checkpoints))


class _OwnWayError(Exception):
    """A base keeps the weights of adapted layers in a way of its own, or has dropout that its file does not tell; or
    the output head is adapted.

    Its students are trained one by one.
    """


def _teach(room: Classroom, courses: Sequence[Course]) -> None:
    """Take the next step of every student at once, until none has any left."""
    under_way = {place: course.steps() for place, course in enumerate(courses)}
    while under_way:
        steps: dict[int, Step] = {}
        for place, left in list(under_way.items()):
            step = next(left, None)
            if step is None:
                del under_way[place]
            else:
                steps[place] = step
        if steps:
            losses = _backward(room, courses, steps)
            room.hand_out()
            for place, loss in losses.items():
                courses[place].take(loss)


def _backward(room: Classroom, courses: Sequence[Course], steps: dict[int, Step]) -> dict[int, float]:
    """Add up the gradients of everybody's step, part by part; in smaller parts where memory runs out."""
    while True:
        sizes = {place: courses[place].part(step) for place, step in steps.items()}
        noted = {place: courses[place].noted() for place in steps}
        try:
            return _add_gradients(room, steps, sizes)
        except RuntimeError as error:
            if not is_out_of_memory(error) or all(sizes[place] <= steps[place].together for place in steps):
                raise
        # Outside of the handler, because what had been computed hangs on the error.
        room.hand_out()
        for place in steps:
            courses[place].halve(sizes[place], noted[place])


def _add_gradients(room: Classroom, steps: dict[int, Step], sizes: dict[int, int]) -> dict[int, float]:
    """Add up the gradients of everybody's step in parts of some sizes; give everybody's loss."""
    losses = dict.fromkeys(steps, 0.0)
    left = {place: list(step.rows) for place, step in steps.items()}
    while left:
        parts = {place: rows[: sizes[place]] for place, rows in left.items()}
        left = {place: rows[sizes[place] :] for place, rows in left.items() if rows[sizes[place] :]}
        found = room.predict(parts)
        told = {place: steps[place].loss(found[place]) / steps[place].weight for place in parts}
        torch.autograd.backward(list(told.values()))
        for place, loss in told.items():
            losses[place] += loss.item()
    return losses


class Classroom:
    """One base model with the adapters of several students.

    Args:
        requests: of the students.
    """

    def __init__(self, requests: Sequence[TrainRequest]) -> None:
        model, self.tokenizer = load_base(requests[0].student)
        if dropout_of(model.config.to_dict()):
            raise _OwnWayError
        adapters = []
        for it in requests:
            adapted = adapt_model(model, it.student, it.seed)
            layers = [layer.base_layer for layer in adapted.modules() if hasattr(layer, "lora_A")]
            # What comes out of the head is asked for by one student after the other.
            headed = hasattr(adapted.get_base_model().get_output_embeddings(), "lora_A")
            if headed or not all(isinstance(layer, torch.nn.Linear) for layer in layers):
                raise _OwnWayError
            adapters.append({name: weight.detach().clone() for name, weight in _trained(adapted)})
            model = adapted.unload()
        self.model = adapt_model(model, requests[-1].student, requests[-1].seed)
        # One leaf a matrix, and every student's part of it as a parameter of its own in the same memory.
        self._stacks = {name: torch.stack([own[name] for own in adapters]) for name in adapters[0]}
        self.own = [
            [torch.nn.Parameter(stack[place]) for stack in self._stacks.values()] for place in range(len(requests))
        ]
        for stack in self._stacks.values():
            stack.requires_grad_()
        self.model.requires_grad_(False)
        self.learner = Learner(self.model, self.tokenizer)
        self._merges = may_merge(self.model)
        self._narrow = self._merges and self.model.config.get_text_config().hidden_size <= NARROW
        self._present = list(range(len(requests)))
        self._frozen: Sequence[torch.Tensor] | None = None
        self._merged: dict[str, torch.Tensor] | None = None
        for name, layer in self.model.named_modules():
            if f"{name}.lora_A.default.weight" in self._stacks:
                layer.forward = partial(self._forward, layer, name)
        if any(it.config.checkpoint_activations for it in requests):
            self.learner.checkpoint_activations()

    def _forward(self, layer: Any, name: str, x_BTI: torch.Tensor) -> torch.Tensor:
        """Send each student's rows through the weight with that student's product added to it."""
        base = layer.base_layer
        if self._merged is not None:
            if name not in self._merged:
                self._merged[name] = self._weights(layer, name)[0]
            return F.linear(x_BTI, self._merged[name], base.bias)
        # Some models flatten rows and time into one; either way they lie student by student.
        x_SMI = x_BTI.reshape(len(self._present), -1, x_BTI.shape[-1])
        if self._narrow:
            # As for one student: adding the product to the weight first is faster where layers are narrow.
            y_SMO = torch.bmm(x_SMI, self._weights(layer, name).mT)
        else:
            down_SRI, up_SOR = self._products(name)
            added_SMO = torch.bmm(torch.bmm(x_SMI, down_SRI.mT), up_SOR.mT)
            y_SMO = F.linear(x_SMI, base.weight) + layer.scaling["default"] * added_SMO
        y_BTO = y_SMO.reshape(*x_BTI.shape[:-1], -1)
        return y_BTO if base.bias is None else y_BTO + base.bias

    def _weights(self, layer: Any, name: str) -> torch.Tensor:
        down_SRI, up_SOR = self._products(name)
        weight_SOI = layer.base_layer.weight.expand(len(down_SRI), -1, -1)
        return torch.baddbmm(weight_SOI, up_SOR, down_SRI, alpha=layer.scaling["default"])

    def _products(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the two matrices of a layer, of those who are present."""
        names = [f"{name}.lora_{part}.default.weight" for part in ("A", "B")]
        if self._frozen is not None:
            held = dict(zip(self._stacks, self._frozen, strict=True))
            down, up = (held[it][None] for it in names)
            return down, up
        whole = len(self._present) == len(self.own)
        down, up = (self._stacks[it] if whole else self._stacks[it][self._present] for it in names)
        return down, up

    @contextmanager
    def alone(self, place: int, frozen: Sequence[torch.Tensor] | None) -> Iterator[None]:
        """Let one student answer, as it is or as it was, with nothing left to chance and no gradients."""
        before, self._present, self._frozen = self._present, [place], frozen
        self._merged = {} if self._merges else None
        try:
            with torch.no_grad():
                yield
        finally:
            self._present, self._frozen, self._merged = before, None, None

    def predict(self, parts: dict[int, list[Row]]) -> dict[int, Predictions]:
        """Read everybody's rows at once, and say what each expected at its own."""
        most = max(map(len, parts.values()))
        # Whoever has fewer rows gets empty ones: a token that nobody learns.
        blank = Row((self.tokenizer.pad_token_id,), 1, "")
        # They stay present: activations may be computed again in the backward pass.
        self._present = list(parts)
        found = self.learner.predict([row for rows in parts.values() for row in (*rows, *[blank] * (most - len(rows)))])
        told = {}
        for number, (place, rows) in enumerate(parts.items()):
            mine = (found.row_N >= number * most) & (found.row_N < (number + 1) * most)
            told[place] = Predictions(
                rows, found.states_NH[mine], found.labels_N[mine], found.row_N[mine] - number * most, found.head,
                found.vocabulary,
            )  # fmt: skip
        return told

    def hand_out(self) -> None:
        """Give every student the gradients of its part."""
        for stack, *own in zip(self._stacks.values(), *self.own, strict=True):
            for weight, gradient in zip(own, [None] * len(own) if stack.grad is None else stack.grad, strict=True):
                weight.grad = gradient
            stack.grad = None

    @torch.no_grad()
    def show(self, place: int) -> None:
        """Put a student's weights where PEFT looks for them."""
        for (_, weight), own in zip(_trained(self.model), self.own[place], strict=True):
            weight.copy_(own)


class Seat(Learner):
    """One student of a classroom.

    Args:
        room: where it sits.
        place: at which place.
        frozen: weights it is to keep; None means those that it learns.
    """

    def __init__(self, room: Classroom, place: int, frozen: Sequence[torch.Tensor] | None = None) -> None:
        self._room = room
        self._place = place
        self._frozen = frozen
        self.model = room.model
        self.tokenizer = room.tokenizer
        self._base = room.model.get_base_model()
        self.rescale = room.learner.rescale
        self._engine = TransformersEngine(self._base, room.tokenizer, "")
        self.at_once = AtOnce()

    @property
    def weights(self) -> list[torch.nn.Parameter]:
        """What it learns."""
        return self._room.own[self._place]

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Leave nothing out by chance, and keep no gradients."""
        self.model.eval()
        try:
            with self._room.alone(self._place, self._frozen):
                yield
        finally:
            self.model.train()

    def as_it_is(self) -> Seat:
        """Give the student as it is now; it does not learn on."""
        return Seat(self._room, self._place, [weight.detach().clone() for weight in self.weights])


def _trained(model: PeftModel) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, weight) for name, weight in model.named_parameters() if ".lora_" in name]
