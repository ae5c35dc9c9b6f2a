"""Where a training stage was, so that one that was interrupted goes on from there and ends the same.

A snapshot lies beside the place of the checkpoint: what is trained, what the optimiser keeps, the state of chance and
how far the stage had come. One that belongs to another request, or is damaged, is not used.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tft.records import Usage, digest, digest_file, dump
from tft.records import load as load_record
from tft.student.shortage import AtOnce
from tft.training.gradients import is_sharded, placed, whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tft.training.objective import Setting
    from tft.training.optimizers import Optimizers

_KEPT = "optimizer/"


@dataclass
class Progress:
    """How far a stage has come."""

    turns: int = 0
    steps: int = 0
    tokens: Counter[str] = field(default_factory=Counter)
    """Trained, by skill."""
    micro_batch: int | None = None
    """Rows in memory at once, where memory ran out."""


def _place(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.snapshot")


def _beside(place: Path, word: str) -> Path:
    return place.with_name(f"{place.name}.{word}")


def _name(request: Any) -> str:
    """Name what is trained on what: the same request, wherever its files lie."""
    known = [request.student.base, request.student.digest, request.student.adapter.identity(),
             request.config.identity(), request.learning_rate, request.learning_rate_scale, request.seed,
             request.max_tokens, request.tutor.fingerprint if request.tutor else None,
             request.grader.identity() if request.grader else None,
             request.reward.digest if request.reward else None,
             [lesson.id for lesson in request.lessons]]  # fmt: skip
    return digest(known)


def snapshot(
    folder: Path, request: Any, weights: Sequence[torch.Tensor], optimizers: Optimizers,
    progress: Progress, setting: Setting,
) -> None:  # fmt: skip
    """Write down where a stage is, all or nothing; all workers take part, and the first of them writes.

    What cannot be written, because there is no room for instance, is told and does without: training is worth more.
    """
    tensors: dict[str, torch.Tensor] = {}
    for rank, chance in enumerate(setting.workers.gather(_chance())):
        tensors |= {f"{name} {rank}": state for name, state in chance.items()}
    kept, numbers = optimizers.state()
    lying = {f"{number}": weight.detach() for number, weight in enumerate(weights)}
    for name, tensor in (lying | {f"{_KEPT}{name}": it for name, it in kept.items()}).items():
        # One after the other, and none stays on a GPU: all of them may be more than one holds.
        found = whole(tensor) if is_sharded(tensor) else tensor
        if setting.workers.rank == 0:
            tensors[name] = found

    def write() -> None:
        try:
            _write(_place(folder), tensors, numbers, request, progress, setting)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(_beside(_place(folder), "new"), ignore_errors=True)
            told = f"how far {request.student.id} has come in this cycle cannot be written down, and would be lost"
            warnings.warn(f"{told} if it were interrupted: {error}", stacklevel=2)

    setting.workers.first(write)


def _chance() -> dict[str, torch.Tensor]:
    chance = {"chance": torch.get_rng_state()}
    if torch.cuda.is_available():
        chance["chance of the GPU"] = torch.cuda.get_rng_state()
    return chance


def _write(
    place: Path, tensors: dict[str, torch.Tensor], numbers: dict[str, Any], request: Any, progress: Progress,
    setting: Setting,
) -> None:  # fmt: skip
    aside, before = _beside(place, "new"), _beside(place, "old")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    # From where they lie, so that memory need not hold them twice.
    save_file(_apart(tensors), aside / "state.safetensors")
    told = {
        "request": _name(request), "sha256": digest_file(aside / "state.safetensors"), "turns": progress.turns,
        "micro_batch": progress.micro_batch, "at_once": asdict(setting.learner.at_once), "numbers": numbers,
        "steps": progress.steps, "tokens": dict(progress.tokens), "measures": setting.measures,
        "asked": dict(setting.asked), "used": [dump(it) for it in setting.used],
    }  # fmt: skip
    (aside / "state.json").write_text(json.dumps(told), encoding="utf-8")
    if place.exists():
        shutil.rmtree(before, ignore_errors=True)
        place.rename(before)
    aside.rename(place)
    shutil.rmtree(before, ignore_errors=True)


def _apart(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copy tensors that share their memory with another; a file has each of its own."""
    known: set[int] = set()
    told = {}
    for name, tensor in tensors.items():
        plain = tensor.cpu().contiguous()
        told[name] = plain.clone() if plain.data_ptr() in known else plain
        known.add(plain.data_ptr())
    return told


def restore(
    folder: Path, request: Any, weights: Sequence[torch.Tensor], optimizers: Optimizers,
    progress: Progress, setting: Setting,
) -> bool:  # fmt: skip
    """Go back to where a stage was; say whether there was anything to go back to."""
    # A stage that was stopped while it changed them has only the one before.
    found = next(filter(None, (_read(it, request) for it in (_place(folder), _beside(_place(folder), "old")))), None)
    if found is None:
        return False
    place, told = found
    tensors = load_file(place / "state.safetensors")
    with torch.no_grad():
        for number, weight in enumerate(weights):
            weight.copy_(placed(tensors[f"{number}"], weight))
    kept = {name.removeprefix(_KEPT): it.clone() for name, it in tensors.items() if name.startswith(_KEPT)}
    optimizers.restore({**kept, **told["numbers"]})
    rank = setting.workers.rank
    torch.set_rng_state(tensors[f"chance {rank}"])
    if f"chance of the GPU {rank}" in tensors:
        torch.cuda.set_rng_state(tensors[f"chance of the GPU {rank}"])
    progress.turns, progress.steps = told["turns"], told["steps"]
    progress.tokens = Counter(told["tokens"])
    progress.micro_batch = told["micro_batch"]
    setting.learner.at_once = AtOnce(**told["at_once"])
    setting.measures.update(told["measures"])
    setting.asked.update(told["asked"])
    setting.used.extend(load_record(Usage, it) for it in told["used"])
    return True


def _read(place: Path, request: Any) -> tuple[Path, dict[str, Any]] | None:
    """Read what a snapshot tells of itself; None where there is none, or it is damaged or of another request."""
    try:
        told = json.loads((place / "state.json").read_text(encoding="utf-8"))
        fits = told["request"] == _name(request) and told["sha256"] == digest_file(place / "state.safetensors")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (place, told) if fits else None


def forget(folder: Path) -> None:
    """Remove what is no longer needed."""
    for place in (_place(folder), _beside(_place(folder), "old"), _beside(_place(folder), "new")):
        shutil.rmtree(place, ignore_errors=True)
