"""Memory: the highest that training one student took, against what `tft validate` estimates.

    python -m benchmarks run memory

Models are Llamas with weights at random, trained for two steps in a process of their own. What is measured is the most
memory that process ever had (VmHWM, so on Linux), in float32 on a CPU, everything included: Python, libraries,
loading, saving.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.results import Row
from tft.config.adapters import BottleneckAdapter, FullAdapter, LoraAdapter, PrefixAdapter
from tft.config.training import GRPOConfig, ObjectivesConfig, TrainingConfig
from tft.validation.memory import Load, estimate_training, read_shape

STEPS = 2
WITHIN = 0.3
WIDE = {"hidden_size": 768, "intermediate_size": 2048, "num_attention_heads": 12, "num_key_value_heads": 4}
NARROW = {"hidden_size": 512, "intermediate_size": 1536, "num_attention_heads": 8, "num_key_value_heads": 8}


@dataclass(frozen=True)
class Case:
    what: str
    shape: dict[str, int]
    vocabulary: int
    adapter: Any
    training: dict[str, Any]
    question: int = 64
    answer: int = 191
    """Tokens, each a letter; the end is one more."""
    kind: str = "demonstration"


FULL, LORA = FullAdapter(), LoraAdapter(r=16)
CASES = {
    "full": Case("all weights, small vocabulary", WIDE, 512, FULL, {}),
    "full-large": Case("all weights, vocabulary of 65,536", WIDE, 65536, FULL, {}),
    "full-parts": Case("the same, micro_batch: 2", WIDE, 65536, FULL, {"micro_batch": 2}),
    "full-again": Case("all weights, checkpoint_activations", WIDE, 512, FULL, {"checkpoint_activations": True}),
    "full-adafactor": Case("all weights, adafactor", WIDE, 65536, FULL, {"optimizer": "adafactor"}),
    "full-muon": Case("all weights, muon", WIDE, 65536, FULL, {"optimizer": "muon"}),
    "full-sgd": Case("all weights, sgd", WIDE, 512, FULL, {"optimizer": "sgd"}),
    "lora": Case("LoRA, small vocabulary", WIDE, 512, LORA, {}),
    "lora-large": Case("LoRA, vocabulary of 65,536", WIDE, 65536, LORA, {}),
    "lora-again": Case("LoRA, checkpoint_activations", WIDE, 65536, LORA, {"checkpoint_activations": True}),
    "lora-narrow": Case("LoRA on width 512", NARROW, 512, LORA, {}),
    "lora-nf4": Case("LoRA on four bits", WIDE, 65536, LoraAdapter(r=16, quantize="nf4"), {}),
    "prefix": Case("prefix tuning", WIDE, 512, PrefixAdapter(tokens=16), {}),
    "bottleneck": Case("bottleneck adapters", WIDE, 512, BottleneckAdapter(width=64), {}),
    "practice": Case("practice, 32 answers written at once", WIDE, 65536, LORA, {"batch_size": 32, "micro_batch": 4},
                     64, 15, "practice"),
    "practice-kl": Case("practice held to a reference", WIDE, 65536, LORA, {"batch_size": 8, "micro_batch": 4,
                        "objectives": ObjectivesConfig(practice=GRPOConfig(group=8, kl=0.1))}, 64, 15, "practice"),
}  # fmt: skip


def run(options: list[str]) -> list[Row]:
    rows = []
    for name, case in CASES.items():
        if options and name not in options:
            continue
        if name == "lora-nf4" and find_spec("bitsandbytes") is None:
            rows.append(Row(name, case.what, None, "ratio", note="the extra [qlora] is not installed"))
            continue
        with tempfile.TemporaryDirectory() as scratch:
            _make(case, Path(scratch))
            shape = read_shape(Path(scratch))
            assert shape is not None
            command = [sys.executable, "-m", "benchmarks.memory", name, scratch]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        measured = int(done.stdout.splitlines()[-1])
        config = training(case)
        needed = estimate_training(shape, case.adapter, config.optimizer, load(case, config))
        ratio = needed.total / measured
        print(
            name, measured, needed, f"{needed.total / 2**20:,.0f} MiB", f"{measured / 2**20:,.0f} MiB", f"{ratio:.2f}"
        )
        rows.append(Row(name, case.what, ratio, "ratio", target=f"within {1 - WITHIN:.1f} and {1 + WITHIN:.1f}",
                        met=abs(ratio - 1) <= WITHIN, note=f"estimated {needed.total / 2**20:,.0f} MiB, "
                        f"measured {measured / 2**20:,.0f} MiB, {shape.weights / 1e6:.0f} M weights"))  # fmt: skip
    return rows


def training(case: Case) -> TrainingConfig:
    return TrainingConfig(**{"epochs": 1, "batch_size": 6, **case.training})


def load(case: Case, config: TrainingConfig) -> Load:
    practised = case.kind == "practice"
    length = case.question + case.answer + 2
    return Load(
        rows=min(config.micro_batch or config.batch_size, config.batch_size),
        length=length,
        learned=case.answer + 1,
        written=config.batch_size if practised else 0,
        answer=length if practised else 0,
        referred=practised and bool(getattr(config.objectives.practice, "kl", 0.0)),
        recomputed=config.checkpoint_activations,
    )


def _make(case: Case, folder: Path) -> None:
    """Write a model with weights at random, and a tokenizer that takes letters for tokens."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from transformers.utils.logging import disable_progress_bar

    torch.manual_seed(1)
    names = ["</s>", "\n", *map(chr, range(32, 127))]
    speller = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="</s>"))
    speller.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    template = (
        "{% for it in messages %}{{ it['content'] }}{{ eos_token if it['role'] == 'assistant' else '\n' }}{% endfor %}"
    )
    PreTrainedTokenizerFast(
        tokenizer_object=speller, eos_token="</s>", pad_token="</s>", chat_template=template
    ).save_pretrained(folder)
    config = LlamaConfig(**case.shape, vocab_size=case.vocabulary, num_hidden_layers=8, tie_word_embeddings=True,
                         eos_token_id=0, pad_token_id=0, max_position_embeddings=1024)  # fmt: skip
    model = LlamaForCausalLM(config)
    model.generation_config.eos_token_id = case.vocabulary - 1
    disable_progress_bar()
    model.save_pretrained(folder)


def main() -> None:
    """Train the student of one case, and print the most memory it took."""
    name, folder = sys.argv[1:]
    case = CASES[name]
    import torch

    from tft.config.cards import GraderConfig
    from tft.records import Example, Item, Lesson, Lineage, Message, Verdict
    from tft.student import StudentRef
    from tft.training import TrainRequest, policy, train

    torch.set_num_threads(1)
    # What weights at random write is never right, and where all answers are alike nothing is learned.
    turns = itertools.cycle((0.0, 1.0))
    policy.grade_attempts = lambda _: lambda *_: Verdict(next(turns), "by turns", "benchmark")
    config = training(case)
    group = config.objectives.practice.group  # type: ignore[union-attr]
    count = config.batch_size // group if case.kind == "practice" else STEPS * config.batch_size
    lessons = []
    for place in range(count):
        question, answer = f"{place:0{case.question}}", "7" * case.answer
        example = Example((Message("user", question), Message("assistant", answer)))
        examples = () if case.kind == "practice" else (example,)
        item = Item("letters", 1, question, "7", question, "benchmark")
        lessons.append(Lesson(str(place), case.kind, item, examples, answer, Lineage("benchmark", "rules")))
    request = TrainRequest(StudentRef("student", folder, "base", case.adapter), tuple(lessons), config, 1e-4, 1.0, 1,
                           f"{folder}/trained", case.answer, GraderConfig(type="exact"))  # fmt: skip
    made = train(request)
    assert made.steps > 0, made
    print(_highest())


def _highest() -> int:
    """Give the most bytes this process ever had. ``ru_maxrss`` would begin at what the process had that started it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


if __name__ == "__main__":
    main()
