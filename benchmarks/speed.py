"""Against TRL on one machine: supervised training, preferences, and the time to the first step.

    python -m benchmarks run speed [repetitions]

The same student (abacus/novice-a, all weights, float32), the same rows, batches of 32 rows, the same peak and number of
steps, all cores, a process of its own for each run; arms take turns, forwards and backwards. Tokens are those that are
learned, padding and questions left out. *Plain* is TRL as it comes; *tuned* has batches of like length and no
checkpointing, for preferences also reference scores computed before, as ours are; *packed* has rows packed without
padding. Steps are timed from the ninth on, so neither loading nor the reference scores are in their times.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.results import Row, median_interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tft.records import Lesson
    from tft.training.rows import Row as Tokens

ARMS = {"supervised": ("tft", "trl-plain", "trl-tuned", "trl-packed"), "preference": ("tft", "trl-plain", "trl-tuned")}
TARGETS = {"supervised": 1.5, "preference": 2.0}
SKILLS = ("add_3", "sub_3", "mul_2x1", "sub_2")
BATCH, STEPS, LEFT_OUT, HELD_OUT = 32, 64, 8, 256
PEAK = {"supervised": 1e-3, "preference": 1e-4}
IGNORED = -100


def run(options: list[str]) -> list[Row]:
    repetitions = int(options[0]) if options else 5
    rows: list[Row] = []
    for work, arms in ARMS.items():
        found: dict[str, list[dict[str, float]]] = {arm: [] for arm in arms}
        with tempfile.TemporaryDirectory() as scratch:
            _write_down(work, Path(scratch))
            for repetition in range(repetitions):
                for arm in arms if repetition % 2 == 0 else reversed(arms):
                    found[arm].append(_measure(work, arm, scratch))
                    print(work, arm, found[arm][-1], flush=True)
        rows += _compare(work, found)
    return rows


def _compare(work: str, found: dict[str, list[dict[str, float]]]) -> Iterator[Row]:
    unit = "tokens/s" if work == "supervised" else "pairs/s"
    for arm in list(found)[1:]:
        ratios = [ours["speed"] / theirs["speed"] for ours, theirs in zip(found["tft"], found[arm], strict=True)]
        speeds = [statistics.median(it["speed"] for it in found[name]) for name in ("tft", arm)]
        losses = [statistics.median(it["loss"] for it in found[name]) for name in ("tft", arm)]
        target = TARGETS[work] if arm == "trl-tuned" else None
        middle = statistics.median(ratios)
        yield Row(
            f"{work}-{arm.removeprefix('trl-')}", f"{unit} of TFT over those of TRL", middle, "ratio",
            *median_interval(ratios), f">= {target}" if target else "", middle >= target if target else None,
            note=f"{speeds[0]:,.0f} and {speeds[1]:,.0f} {unit}; held-out loss {losses[0]:.4f} and {losses[1]:.4f}",
        )  # fmt: skip
    starts = [ours["start"] / theirs["start"] for ours, theirs in zip(found["tft"], found["trl-plain"], strict=True)]
    seconds = [statistics.median(it["start"] for it in found[name]) for name in ("tft", "trl-plain")]
    middle = statistics.median(starts)
    yield Row(f"{work}-start", "from the start of Python to the first step, TFT over TRL", middle, "ratio",
              *median_interval(starts), "<= 1", middle <= 1,
              note=f"{seconds[0]:.1f} s and {seconds[1]:.1f} s")  # fmt: skip


def _measure(work: str, arm: str, scratch: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.speed", work, arm, scratch, str(time.time())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{work} {arm}: {done.stderr[-3000:]}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


class _Clock:
    """Notes when each step was over, and how much it learned."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.learned: list[int] = []

    def step(self, learned: int) -> None:
        self.ends.append(time.time())
        self.learned.append(learned)

    def result(self, began: float, loss: float) -> dict[str, float]:
        assert len(self.ends) == STEPS, self.ends
        seconds = self.ends[-1] - self.ends[LEFT_OUT - 1]
        return {"speed": sum(self.learned[LEFT_OUT:]) / seconds, "start": self.ends[0] - began, "loss": loss}


def _write_down(work: str, scratch: Path) -> None:
    """Write lessons for us, and the same as rows of tokens for TRL, to learn and to be measured by."""
    from transformers import AutoTokenizer

    from tft.records import dump
    from tft.training.rows import encode, encode_pair

    tokenizer = AutoTokenizer.from_pretrained(_base())
    for name, lessons in zip(("learned", "held_out"), _lessons(work), strict=True):
        pairs = [encode_pair(it, tokenizer) for it in lessons] if work == "preference" else []
        rows = [row for pair in pairs for row in pair] or encode(lessons, tokenizer)
        told = {"lessons": [dump(it) for it in lessons], "rows": [[it.tokens, it.start] for it in rows]}
        (scratch / f"{name}.json").write_text(json.dumps(told))


def _base() -> Path:
    from tft.library import shipped

    return shipped() / "tutors" / "abacus" / "novice-a"


def _lessons(work: str) -> tuple[list[Lesson], list[Lesson]]:
    """Make lessons: worked answers, for preferences beside wrong ones."""
    from random import Random

    from tft.lessons import draw_items
    from tft.library import load_items, shipped
    from tft.records import Example, Lesson, Lineage

    source: Any = load_items(shipped() / "curricula" / "arithmetic" / "items.py")
    count = STEPS * (BATCH if work == "supervised" else BATCH // 2) // 2
    drawn = [item for skill in SKILLS for item in draw_items(source, skill, (count + HELD_OUT) // 4, (), "speed")]
    Random(1).shuffle(drawn)
    lessons = []
    for item in drawn:
        right, wrong = source.work(item.question), source.work(item.question)[:-1] + "?"
        kind = "demonstration" if work == "supervised" else "preference"
        rejected = None if work == "supervised" else wrong
        lessons.append(Lesson(item.question, kind, item, (Example.of(item.question, right),), right,
                              Lineage("curriculum", "rules"), rejected=rejected))  # fmt: skip
    return lessons[:count], lessons[count:]


def _with_tft(work: str, folder: Path, clock: _Clock) -> str:
    from tft.config.adapters import FullAdapter
    from tft.config.training import DPOConfig, ObjectivesConfig, TrainingConfig
    from tft.library import fingerprint_model
    from tft.records import Lesson, load
    from tft.student import StudentRef
    from tft.training import TrainRequest, loop, train

    base = str(_base())
    lessons = [load(Lesson, it) for it in json.loads((folder / "learned.json").read_text())["lessons"]]
    preference = DPOConfig(supervised=0.0, rate=1.0)
    config = TrainingConfig(epochs=2, batch_size=BATCH, precision="full",
                            objectives=ObjectivesConfig(preference=preference))  # fmt: skip
    student = StudentRef("student", base, fingerprint_model(base), FullAdapter())
    take = loop.Course.take

    def timed(course: loop.Course, loss: float) -> None:
        step = course._under_way[0]  # type: ignore[index]
        take(course, loss)
        clock.step(sum(row.learned for row in step.rows) if work == "supervised" else len(step.rows) // 2)

    loop.Course.take = timed  # type: ignore[method-assign]
    return train(TrainRequest(student, tuple(lessons), config, PEAK[work], 1.0, 1, str(folder / "made"))).path


def _with_trl(work: str, arm: str, folder: Path, clock: _Clock) -> str:
    import transformers
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    base = _base()
    rows = json.loads((folder / "learned.json").read_text())["rows"]
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype="float32")
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    asked: dict[str, Any] = {
        "output_dir": str(folder / "trainer"), "max_steps": STEPS, "learning_rate": PEAK[work],
        "per_device_train_batch_size": BATCH if work == "supervised" else BATCH // 2, "lr_scheduler_type": "cosine",
        "warmup_steps": round(0.05 * STEPS), "weight_decay": 0.01, "use_cpu": True, "bf16": False,
        "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "seed": 1,
    }  # fmt: skip
    if arm != "trl-plain":
        asked |= {"gradient_checkpointing": False, "logging_steps": 1000}
    if arm == "trl-tuned":
        asked |= {"train_sampling_strategy": "group_by_length"}
    learned: list[int] = []

    class Watch(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.step(learned.pop())

    trainer: Any
    if work == "supervised":
        data = [{"input_ids": it, "labels": [IGNORED] * start + it[start:]} for it, start in rows]
        longest = max(len(it) for it, _ in rows)
        asked |= {"max_length": longest}
        if arm == "trl-packed":
            # As many tokens a step as the others have rows for.
            mean = statistics.mean(len(it) for it, _ in rows)
            asked |= {"packing": True, "max_length": 8 * longest,
                      "per_device_train_batch_size": max(1, round(BATCH * mean / (8 * longest)))}  # fmt: skip
        trainer = SFTTrainer(model=model, processing_class=tokenizer, train_dataset=Dataset.from_list(data),
                             args=SFTConfig(**asked), callbacks=[Watch()])  # fmt: skip
    else:
        # TRL puts the end token behind each answer itself.
        parts = [(tokenizer.decode(it[:start]), tokenizer.decode(it[start:-1])) for it, start in rows]
        data = [{"prompt": prompt, "chosen": better, "rejected": worse}
                for (prompt, better), (_, worse) in zip(parts[0::2], parts[1::2], strict=True)]  # fmt: skip
        if arm == "trl-tuned":
            asked |= {"precompute_ref_log_probs": True}
            asked.pop("train_sampling_strategy")
        reference = transformers.AutoModelForCausalLM.from_pretrained(base, dtype="float32")
        trainer = DPOTrainer(model=model, ref_model=reference, processing_class=tokenizer,
                             train_dataset=Dataset.from_list(data), args=DPOConfig(**asked),
                             callbacks=[Watch()])  # fmt: skip
    compute = trainer.compute_loss

    def counted(model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        pairs = len(inputs["input_ids"]) // 2
        learned.append(int((inputs["labels"] != IGNORED).sum()) if work == "supervised" else pairs)
        return compute(model, inputs, *rest, **more)

    trainer.compute_loss = counted
    trainer.train()
    trainer.model.save_pretrained(folder / "made")
    return str(folder / "made")


def _held_out(work: str, folder: str, rows: list[Tokens]) -> float:
    """Give the loss on what was not learned: nats a token, or of pairs −log σ of a tenth of the difference."""
    import torch
    from transformers import AutoModelForCausalLM

    from tft.training.rows import collate

    batch = collate(rows, 0, torch.device("cpu"))
    labels = batch.pop("labels")[:, 1:]

    def sums(path: Any) -> torch.Tensor:
        model = AutoModelForCausalLM.from_pretrained(path, dtype="float32").eval()
        with torch.no_grad():
            logits = model(**batch).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(logits.mT, labels, ignore_index=IGNORED, reduction="none")
        return -losses.sum(1)

    learned = sums(folder)
    if work == "supervised":
        return -(learned.sum() / (labels != IGNORED).sum()).item()
    gained = learned - sums(_base())
    return -torch.nn.functional.logsigmoid(0.1 * (gained[0::2] - gained[1::2])).mean().item()


def main() -> None:
    """Train one arm once, and print what was measured."""
    work, arm, scratch, began = sys.argv[1:]
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    clock, folder = _Clock(), Path(scratch)
    trained = _with_tft(work, folder, clock) if arm == "tft" else _with_trl(work, arm, folder, clock)
    from tft.training.rows import Row as Tokens

    rows = [Tokens(tuple(it), start, "") for it, start in json.loads((folder / "held_out.json").read_text())["rows"]]
    loss = _held_out(work, trained, rows)
    shutil.rmtree(trained)
    print(json.dumps(clock.result(float(began), loss)))


if __name__ == "__main__":
    main()
