"""Where a training stage was, so that one that was interrupted goes on from there and ends the same.

A snapshot lies beside the place of the checkpoint: what is trained, the optimiser's moments, the state of chance and
how far the stage had come. One that belongs to another request, or is damaged, is not used.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load, save

from tft.records import Usage, digest, dump
from tft.records import load as load_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tft.training.objective import Setting

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


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
    folder: Path, request: Any, weights: Sequence[torch.nn.Parameter], optimizer: torch.optim.Optimizer,
    progress: Progress, setting: Setting,
) -> None:  # fmt: skip
    """Write down where a stage is, all or nothing."""
    tensors = {"chance": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["chance of the GPU"] = torch.cuda.get_rng_state()
    for number, weight in enumerate(weights):
        tensors[f"{number}"] = weight.detach().cpu().contiguous()
        for name in _MOMENTS:
            if weight in optimizer.state:
                tensors[f"{number}.{name}"] = optimizer.state[weight][name].detach().cpu().contiguous()
    body = save(tensors)
    told = {
        "request": _name(request), "sha256": hashlib.sha256(body).hexdigest(), "turns": progress.turns,
        "micro_batch": progress.micro_batch,
        "steps": progress.steps, "tokens": dict(progress.tokens), "measures": setting.measures,
        "asked": dict(setting.asked), "used": [dump(it) for it in setting.used],
    }  # fmt: skip
    place = _place(folder)
    aside = place.with_name(f"{place.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    (aside / "state.safetensors").write_bytes(body)
    (aside / "state.json").write_text(json.dumps(told), encoding="utf-8")
    shutil.rmtree(place, ignore_errors=True)
    aside.rename(place)


def restore(
    folder: Path, request: Any, weights: Sequence[torch.nn.Parameter], optimizer: torch.optim.Optimizer,
    progress: Progress, setting: Setting,
) -> bool:  # fmt: skip
    """Go back to where a stage was; say whether there was anything to go back to."""
    place = _place(folder)
    try:
        told = json.loads((place / "state.json").read_text(encoding="utf-8"))
        body = (place / "state.safetensors").read_bytes()
        whole = told["request"] == _name(request) and told["sha256"] == hashlib.sha256(body).hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if not whole:
        return False
    tensors = load(body)
    with torch.no_grad():
        for number, weight in enumerate(weights):
            weight.copy_(tensors[f"{number}"])
            kept = {name: tensors[f"{number}.{name}"] for name in _MOMENTS if f"{number}.{name}" in tensors}
            if kept:
                optimizer.state[weight] = {name: it.to(weight.device) for name, it in kept.items()}
    torch.set_rng_state(tensors["chance"])
    if "chance of the GPU" in tensors:
        torch.cuda.set_rng_state(tensors["chance of the GPU"])
    progress.turns, progress.steps = told["turns"], told["steps"]
    progress.tokens = Counter(told["tokens"])
    progress.micro_batch = told["micro_batch"]
    setting.measures.update(told["measures"])
    setting.asked.update(told["asked"])
    setting.used.extend(load_record(Usage, it) for it in told["used"])
    return True


def forget(folder: Path) -> None:
    """Remove what is no longer needed."""
    shutil.rmtree(_place(folder), ignore_errors=True)
