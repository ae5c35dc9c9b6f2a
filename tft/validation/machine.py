"""The memory a campaign takes, against what this machine has free: told, warned of, and refused where it is hopeless.

A student that does not fit is a warning, because rows are usually shorter than they may be; one whose weights alone do
not fit is a mistake. On a cluster that is joined nobody looks: its machines are others.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tft.config.adapters import FullAdapter, HeadAdapter, LoraAdapter
from tft.config.training import DistillationConfig, GRPOConfig, PPOConfig, RLOOConfig
from tft.errors import Problem
from tft.placement import gpus_here
from tft.validation.memory import Load, Needed, Shape, estimate_training, read_shape, told

if TYPE_CHECKING:
    from tft.config import CampaignConfig
    from tft.config.adapters import AnyAdapter
    from tft.config.campaign import StudentConfig
    from tft.validation.draft import Draft

_MOST_WRITTEN = 512
"""Rows that a student writes side by side at most."""
_ASSUMES = (
    "a process a student, or a worker of it, which trains in float32; rows as long as they may be, a token a "
    "character; on a GPU activations take less"
)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens, at most."""

    row: int
    """Of a lesson."""
    learned: int
    """Of what is learned of it."""
    written: int
    """Of a question with the student's own answer."""


def estimate_memory(
    draft: Draft, folders: dict[str, str | None], lengths: Lengths | None, share: float, problems: list[Problem],
    warnings: list[Problem],
) -> dict[str, Any]:  # fmt: skip
    """Estimate the memory of tutor and students, and compare it with this machine; null where it is unknown.

    Args:
        draft: the config.
        folders: of models, by who has them.
        lengths: of lessons; None where nobody knows.
        share: of a GPU that each student has; 0 where it has none.
        problems: gets the students whose weights alone do not fit.
        warnings: gets those that may not fit.
    """
    config = draft.config
    free, whole = _gpu_memory(share) if share else _machine_memory()
    weights = {who: count_weights(folder) for who, folder in folders.items()}
    students = config.students if draft.whole else ()
    needed: dict[str, Needed | None] = {}
    for place, student in enumerate(students):
        key = f"students.{place}.model"
        folder = folders.get(key)
        shape = read_shape(Path(folder)) if folder is not None else None
        if shape is None or lengths is None:
            needed[student.id] = None
            continue
        load = _load(config, shape, lengths, fused=share > 0)
        found = _needed(config, student.adapter, shape, load, weights.get(key))
        needed[student.id] = found
        if config.cluster.type == "ray" and config.cluster.address is not None:
            continue
        if whole is not None and found.weights > whole:
            remedy = "take a smaller model" + _and_four_bits(student)
            message = f"its weights alone take {told(found.weights)}, and there are {told(whole)}"
            problems.append(Problem(message, draft.file, key, student.model, remedy))
        elif free is not None and found.total > free:
            message = f"may take {told(found.total)} while it is trained, and {told(free)} are free"
            remedy = _remedies(config, student, shape, load, weights.get(key))
            warnings.append(Problem(message, draft.file, key, student.model, remedy))
    known = [it.total for it in needed.values() if it is not None]
    at_once = config.cluster.type == "ray" and config.cluster.address is None and not share and len(known) > 1
    if at_once and free is not None and max(known) <= free < sum(known):
        message = f"students that are trained at the same time may take {told(sum(known))}, and {told(free)} are free"
        remedy = "set cluster: inline, which trains one after the other"
        warnings.append(Problem(message, draft.file, "cluster", config.cluster.type, remedy))
    tutor = weights.get("tutor")
    return {
        "tutor": None if tutor is None else 4 * tutor,
        "students": {who: None if it is None else {**asdict(it), "total": it.total} for who, it in needed.items()},
        "free": free,
        "machine": whole,
        "assumes": _ASSUMES,
    }


def _load(config: CampaignConfig, shape: Shape, lengths: Lengths, *, fused: bool) -> Load:
    """Say what is in memory at once; no row is longer than the model can read."""
    training, methods = config.training, config.tuition.methods
    written, referred = 0, False
    if methods == "practice" and isinstance(practice := training.objectives.practice, _Practice):
        steps = practice.minibatches if isinstance(practice, PPOConfig) else 1
        written = max(1, steps * training.batch_size // practice.group) * practice.group
        referred = practice.kl > 0
    if methods == "feedback" and isinstance(feedback := training.objectives.feedback, DistillationConfig):
        written = training.batch_size * feedback.steps_a_roll_out
    most = shape.context or math.inf
    return Load(
        rows=min(training.micro_batch or training.batch_size, training.batch_size),
        length=int(min(lengths.row, most)),
        learned=int(min(lengths.learned, most)),
        written=min(written, _MOST_WRITTEN),
        answer=int(min(lengths.written, most)),
        referred=referred,
        recomputed=training.checkpoint_activations,
        fused=fused,
    )


_Practice = GRPOConfig | RLOOConfig | PPOConfig


def _needed(config: CampaignConfig, adapter: AnyAdapter, shape: Shape, load: Load, weights: int | None) -> Needed:
    # Of a head the body counts; its own layers are small.
    moved = adapter.body if isinstance(adapter, HeadAdapter) else adapter
    found = estimate_training(shape, moved, config.training.optimizer, load, weights)
    if config.training.parallel == "ddp":
        return found
    shards = config.training.workers
    return replace(found, gradients=round(found.gradients / shards), optimizer=round(found.optimizer / shards))


def _remedies(config: CampaignConfig, student: StudentConfig, shape: Shape, load: Load, weights: int | None) -> str:
    """Say what would take how much, of what the config does not do yet; the least last."""
    lora = LoraAdapter()
    changes: list[tuple[str, AnyAdapter, Load]] = []
    if load.rows > 1:
        changes.append(("training.micro_batch: 1", student.adapter, replace(load, rows=1)))
    if not load.recomputed and student.adapter.type != "prefix":
        changes.append(("training.checkpoint_activations: true", student.adapter, replace(load, recomputed=True)))
    if isinstance(student.adapter, FullAdapter):
        changes.append(("adapter: lora", lora, load))
        changes.append(("all of these", lora, replace(load, rows=1, recomputed=True)))
    takes = [(_needed(config, adapter, shape, it, weights).total, what) for what, adapter, it in changes]
    said = ", ".join(f"{what} takes {told(total)}" for total, what in sorted(takes, reverse=True))
    return f"{said or 'take a smaller model'}{_and_four_bits(student)}"


def _and_four_bits(student: StudentConfig) -> str:
    packed = isinstance(student.adapter, LoraAdapter) and student.adapter.quantize is not None
    return "" if packed else "; adapter: {type: lora, quantize: nf4} keeps its weights in four bits"


def _machine_memory() -> tuple[int | None, int | None]:
    """Read how many bytes are free, and how many there are, within the limit that this process has."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit, used = (_number(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "memory.current"))
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        (kib,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        free = 1024 * int(kib)
    except (OSError, ValueError):
        return None, total
    if limit is not None and limit < total:
        return min(free, max(0, limit - (used or 0))), limit
    return free, total


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _gpu_memory(share: float) -> tuple[int | None, int | None]:
    """Ask for the bytes that a student's share of a GPU has, free and in all; of the smallest where they differ."""
    program = shutil.which("nvidia-smi")
    if program is None or not gpus_here():
        return None, None
    command = [program, "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=1.0, check=True).stdout  # noqa: S603
        pairs = [[int(it) for it in line.split(",")] for line in said.splitlines()]
        free, total = (round(min(share, 1.0) * min(column) * 2**20) for column in zip(*pairs, strict=True))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None, None
    return free, total


def count_weights(folder: str | None) -> int | None:
    """Count the weights in a model folder from the headers of its files; None if unknown."""
    paths = sorted(Path(folder).glob("*.safetensors")) if folder is not None else []
    counts = [_count(path) for path in paths]
    return None if not counts or None in counts else sum(filter(None, counts))


def _count(path: Path) -> int | None:
    """Count the weights of a safetensors file from its header; None where it is none."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(size, path.stat().st_size)))
        return sum(int(math.prod(entry["shape"])) for name, entry in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
