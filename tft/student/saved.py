"""The folder of a student that a campaign has taught, found again by what lies in it; without torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tft.config.adapters import BottleneckAdapter, HeadAdapter, LoraAdapter, RewardTask
from tft.errors import Problem, UserError
from tft.library import fingerprint_model, is_file
from tft.student.checkpoints import MANIFEST
from tft.student.ref import StudentRef

if TYPE_CHECKING:
    from tft.config.adapters import AnyAdapter

HEAD = "head.json"
BOTTLENECK = "bottleneck.json"
TEMPLATE = "chat_template.jinja"
BASE = "base.json"
"""Says in which form the base was read, where that is not the usual one."""
REWARD_KEY = "training.objectives.practice.reward.model"
"""Where a config names the reward model of practice."""


def read_saved(folder: Path, key: str) -> StudentRef | None:
    """Name the student whose checkpoint a folder holds; None where it holds none that needs a base model.

    Args:
        folder: of a checkpoint.
        key: where its name stands, for the error.

    Raises:
        UserError: if its manifest or its base model are gone.
    """
    folder = folder.expanduser().resolve()
    if is_file(folder / HEAD):
        told = json.loads((folder / HEAD).read_text(encoding="utf-8"))
        return _adapted(folder, key, told["base"], HeadAdapter.model_validate(told["adapter"]))
    form = json.loads((folder / BASE).read_text(encoding="utf-8")) if is_file(folder / BASE) else {}
    # PEFT reads whatever adapter it has written, whatever its name.
    for config, named, adapter in (
        ("adapter_config.json", "base_model_name_or_path", LoraAdapter(**form)),
        (BOTTLENECK, "base", BottleneckAdapter()),
    ):
        if is_file(folder / config):
            return _adapted(folder, key, str(json.loads((folder / config).read_text())[named]), adapter)
    return None


def read_reward_model(folder: Path, key: str) -> StudentRef:
    """Name the student with a reward head whose checkpoint a folder holds.

    Raises:
        UserError: if it holds none.
    """
    is_there = folder.expanduser().is_dir()
    found = read_saved(folder, key) if is_there else None
    if found is None or not isinstance(found.adapter, HeadAdapter) or not isinstance(found.adapter.task, RewardTask):
        remedy = "name a folder students/<id>/final of a campaign whose student has adapter: {type: head, task: reward}"
        message = "is no student with a reward head" if is_there else "there is no such folder"
        raise UserError(Problem(message, key=key, value=str(folder), remedy=remedy))
    return found


def _adapted(folder: Path, key: str, base: str, adapter: AnyAdapter) -> StudentRef:
    manifest = folder / MANIFEST
    if not is_file(manifest):
        remedy = "name a folder students/<id>/final of a run, or merge the adapter into its model"
        raise UserError(Problem("is an adapter without a manifest", key=key, value=str(folder), remedy=remedy))
    if not is_file(Path(base) / "config.json"):
        remedy = "put the base model there again"
        raise UserError(Problem("the base model of this adapter is gone", key=key, value=base, remedy=remedy))
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    template = folder / TEMPLATE
    asked = template.read_text(encoding="utf-8") if is_file(template) else None
    return StudentRef("examined", base, fingerprint_model(base), adapter, str(folder), digest, asked)
