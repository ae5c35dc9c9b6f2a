"""Reinforcement learning from a cold start: GRPO, RLOO and PPO raise the reward of a grader that shows nothing.

    python -m benchmarks run reinforce

The student is a Llama of two layers with weights drawn at random. It is asked for the larger of two digits, may write
one token of 64, and is told right or wrong. A random guess is right one time in 64. Three seeds each.
"""

from __future__ import annotations

import statistics
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from benchmarks.results import Row
from tft.config.adapters import FullAdapter
from tft.config.cards import GraderConfig
from tft.config.training import ObjectivesConfig, TrainingConfig
from tft.lessons import for_own_work, unanswered
from tft.library import fingerprint_model, shipped
from tft.records import Item
from tft.student import StudentRef
from tft.student.models import adapt
from tft.training import TrainRequest
from tft.training.learner import Learner
from tft.training.loop import Course, learn, matrix_products

SEEDS = (1, 2, 3)
OBJECTIVES: dict[str, dict[str, Any]] = {
    "grpo": {"type": "grpo", "group": 16, "rate": 1.0, "epochs": 40},
    "rloo": {"type": "rloo", "group": 16, "rate": 0.3, "epochs": 40},
    "ppo": {"type": "ppo", "group": 16, "rate": 1.0, "epochs": 40, "minibatches": 1, "passes": 2},
}


def run(_: list[str]) -> list[Row]:
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, objective in OBJECTIVES.items():
            curves = [_curve(objective, seed, Path(scratch) / f"{name}-{seed}") for seed in SEEDS]
            tenths = [statistics.mean(_tenth(curve, part) for curve in curves) for part in range(10)]
            last = sorted(_tenth(curve, 9) for curve in curves)
            rows.append(
                Row(name, "mean reward over the last tenth, median of three seeds", last[1], "share", last[0], last[-1],
                     "above 0.5, from 1/64", last[0] > 0.5,
                    note=f"tenth by tenth {' '.join(f'{it:.2f}' for it in tenths)}; {len(curves[0])} roll-outs of 256")
            )  # fmt: skip
            print(rows[-1].id, rows[-1].note, flush=True)
    return rows


def _tenth(curve: list[float], part: int) -> float:
    size = len(curve) // 10
    return statistics.mean(curve[part * size : (part + 1) * size])


def _curve(objective: dict[str, Any], seed: int, folder: Path) -> list[float]:
    """Train one student, and give its mean reward, roll-out by roll-out."""
    tokenizer = AutoTokenizer.from_pretrained(shipped() / "tutors" / "abacus" / "novice-a")
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.125, tie_word_embeddings=True,
        pad_token_id=0, eos_token_id=1, bos_token_id=None,
    ))  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    items = [
        Item("larger", 1, f"{a}+{b}", str(max(a, b)), f"{a}+{b}", "curriculum") for a, b in product(range(10), repeat=2)
    ]
    lessons = for_own_work([unanswered(item) for item in items], "practice")
    config = TrainingConfig(
        batch_size=256, weight_decay=0.0, objectives=ObjectivesConfig.model_validate({"practice": objective})
    )
    student = StudentRef("cold", str(folder), fingerprint_model(str(folder)), FullAdapter())
    grader = GraderConfig(type="exact", cut_off=True)
    request = TrainRequest(student, lessons, config, 3e-3, 1.0, seed, str(folder / "taught"), 1, grader)
    with matrix_products(config.precision):
        course = Course(request, Learner(*adapt(student, seed)))
        learn(course)
    return list(course.measures["reward"])
