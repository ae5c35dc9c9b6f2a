"""On-policy distillation on language: a pretrained story teller teaches a copy of itself that lost two layers.

    python -m benchmarks run stories

Tutor: `models/stories260K` below `$TFT_DATA` (5 layers, 260 K parameters). Student: the same without its second and
fourth layer. Measured is the cross-entropy, in nats a token, on stories that were sampled from the tutor and are never
trained on; the tutor's own is its entropy there, and nobody can do better. Control: a student of the same shape whose
weights are drawn at random. Then `configs/stories.yaml`, with preferences and with practice.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.results import Row
from tft.config.adapters import FullAdapter
from tft.config.campaign import TransformersEngineConfig
from tft.config.training import ObjectivesConfig, TrainingConfig
from tft.engines.encoding import PLAIN
from tft.engines.transformers import TransformersEngine
from tft.lessons import for_own_work, unanswered
from tft.library import fingerprint_model, shipped
from tft.ports import Sampling
from tft.records import Item
from tft.student import StudentRef
from tft.student.models import open_student
from tft.training import TrainRequest, train
from tft.tutor import TutorRef

if TYPE_CHECKING:
    from collections.abc import Sequence

HELD_OUT, LONGEST = 400, 200
ROLL_OUTS = 100
"""Steps of the student, of 32 stories each."""
LEFT_OUT = (1, 3)


def run(_: list[str]) -> list[Row]:
    torch.set_num_threads(2)
    tutor_folder = Path(os.environ["TFT_DATA"]) / "models" / "stories260K"
    with tempfile.TemporaryDirectory() as scratch:
        rows = _distil(tutor_folder, Path(scratch))
    return rows + [row for method in ("preference", "practice") for row in _campaign(tutor_folder, method)]


def _distil(tutor_folder: Path, scratch: Path) -> list[Row]:
    engine = TransformersEngineConfig(batch_size=256, template={"chat_template": "plain"})
    fingerprint = fingerprint_model(str(tutor_folder))
    tutor = TransformersEngine.open(str(tutor_folder), fingerprint, engine)
    start = [tutor.tokenizer.bos_token_id]
    told = tutor.sample([start] * HELD_OUT, Sampling(LONGEST, 1.0, 1))
    held = [[*start, *story.tokens] for story in told]
    floor = _cross_entropy(tutor, held)
    card = shipped() / "tutors" / "stories" / "tutor.yaml"
    ref = TutorRef(str(card), str(tutor_folder), fingerprint, engine, str(scratch / "cache"))
    rows = [Row("tutor", "cross-entropy of the tutor on its own stories", floor, "nats a token",
                note=f"{HELD_OUT} stories, {sum(map(len, held)) - HELD_OUT:,} tokens")]  # fmt: skip
    for name, pruned in (("pruned", True), ("random", False)):
        base = scratch / name
        _make_student(tutor_folder, base, pruned=pruned)
        student = StudentRef(name, str(base), fingerprint_model(str(base)), FullAdapter(), chat_template=PLAIN)
        before = _cross_entropy(open_student(student), held)
        began = time.monotonic()
        learned, share = _teach(student, ref, scratch)
        seconds = time.monotonic() - began
        after = _cross_entropy(open_student(learned), held)
        closed = (before - after) / (before - floor)
        rows.append(
            Row(name, "share of the gap to the tutor that on-policy distillation closes", closed, "share",
                target=">= 0.5" if pruned else "", met=closed >= 0.5 if pruned else None,
                note=f"cross-entropy {before:.3f} → {after:.3f}, tutor {floor:.3f}; {share:,} of the student's tokens "
                     f"scored, {seconds:.0f} s")
        )  # fmt: skip
    return rows


def _make_student(tutor_folder: Path, folder: Path, *, pruned: bool) -> None:
    """Make a student of three layers: those of the tutor but two, or of the same shape and drawn at random."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(tutor_folder)
    kept = [layer for place, layer in enumerate(model.model.layers) if place not in LEFT_OUT]
    model.config.num_hidden_layers = len(kept)
    if pruned:
        model.model.layers = torch.nn.ModuleList(kept)
        for place, layer in enumerate(kept):
            layer.self_attn.layer_idx = place
    else:
        model.config.initializer_range = 1 / math.sqrt(model.config.hidden_size)
        model = AutoModelForCausalLM.from_config(model.config)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tutor_folder).save_pretrained(folder)


def _teach(student: StudentRef, tutor: TutorRef, scratch: Path) -> tuple[StudentRef, int]:
    item = Item("stories", 1, "", None, "", "tutor")
    lessons = for_own_work([replace(unanswered(item), id=f"{place}") for place in range(32 * ROLL_OUTS)], "feedback")
    config = TrainingConfig(
        objectives=ObjectivesConfig.model_validate(
            {"feedback": {"type": "distillation", "divergence": "forward_kl", "top_k": None, "steps_a_roll_out": 4}}
        )
    )
    folder = (scratch / f"{student.id}-taught").resolve()
    checkpoint = train(TrainRequest(student, lessons, config, 3e-3, 1.0, 2, str(folder), LONGEST, None, tutor))
    return replace(student, checkpoint_path=str(folder), digest=checkpoint.digest), checkpoint.usage.scored


def _cross_entropy(engine: TransformersEngine, rows: Sequence[Sequence[int]]) -> float:
    found = engine.logprobs(rows)
    return -math.fsum(math.fsum(row) for row in found) / sum(map(len, found))


def _campaign(tutor_folder: Path, method: str) -> list[Row]:
    """Run the config that ships, with one method, and give what each rule was kept before and after."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "tft", "run", str(shipped() / "configs" / "stories.yaml"), "--out",
                   f"{scratch}/run", "--set", f"tuition.methods={method}", "--set", f"cache={scratch}/cache",
                   "--set", f"tutor.model={tutor_folder}", "--set", f"students.0.model={tutor_folder}"]  # fmt: skip
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"stories ended with exit code {done.returncode}:\n{done.stderr[-3000:]}")
        report: dict[str, Any] = json.loads((Path(scratch) / "run" / "report.json").read_text())
    skills = report["students"][0]["skills"]
    return [
        Row(f"{method}-{name}", "gain in continuations that keep the rule", skill["change"]["value"], "share",
            skill["change"]["low"], skill["change"]["high"], "interval above 0", skill["change"]["low"] > 0,
            note=f"{skill['before']['score']:.1%} → {skill['after']['score']:.1%}, n = {skill['after']['n']}; "
                 f"{time.monotonic() - began:.0f} s for all three")
        for name, skill in skills.items()
    ]  # fmt: skip
