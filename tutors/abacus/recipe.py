"""Make abacus, novice-a and novice-b from nothing.

    python tutors/abacus/recipe.py                 # everything, about 25 minutes
    python tutors/abacus/recipe.py --only novices  # or one part: novices, novice-a, novice-b, tutor

The novices come first: the tutor learns to criticise from the wrong attempts that they make before and while
they are taught. Training is plain cross-entropy on completions with AdamW and a cosine schedule, in full
precision with bf16 matrix products where the processor has them. Rebuilding promises accuracy within a point,
not identical bytes.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "curricula" / "arithmetic")]

from typing import TYPE_CHECKING

import corpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "A{% generation %}{{ message['content'] }}{{ eos_token }}{% endgeneration %}"
    "{% else %}Q{{ message['content'] }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}A{% endif %}"
)
CHARACTERS = "\n 0123456789+-*/=#?!.,:%()<>$'_QAabcdefghijklmnopqrstuvwxyz"
BUCKETS = (32, 48, 64, 80, 112)


@dataclass(frozen=True)
class Shape:
    """The size of a Llama: hidden and intermediate width, layers, heads of 32."""

    hidden: int
    intermediate: int
    layers: int


@dataclass(frozen=True)
class Plan:
    """One training run: how many steps of how many documents, at which peak learning rate, from which seed."""

    shape: Shape
    steps: int
    batch: int
    learning_rate: float
    seed: int


TUTOR = Plan(Shape(256, 640, 4), steps=1800, batch=64, learning_rate=2e-3, seed=11)
NOVICES = {
    "novice-a": (("add_1", "sub_1", "mul_1", "add_2"), Plan(Shape(128, 384, 4), 2400, 32, 3e-3, 21)),
    "novice-b": (("add_1", "sub_1", "mul_1", "sub_2"), Plan(Shape(128, 384, 4), 2400, 32, 3e-3, 22)),
}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer: one character, one token; 64 ids in all."""
    specials = ["<pad>", "</s>", "<unk>"]
    vocabulary = {token: number for number, token in enumerate([*specials, *CHARACTERS])}
    for spare in range(len(vocabulary), 64):
        vocabulary[f"<spare_{spare}>"] = spare
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        model_max_length=256, padding_side="left", clean_up_tokenization_spaces=False,
    )  # fmt: skip
    fast.chat_template = CHAT_TEMPLATE
    return fast


def build_model(shape: Shape, seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=64, hidden_size=shape.hidden, intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers, num_attention_heads=shape.hidden // 32,
        num_key_value_heads=shape.hidden // 32, head_dim=32, max_position_embeddings=256,
        tie_word_embeddings=True, pad_token_id=0, eos_token_id=1, bos_token_id=None, attn_implementation="eager",
        # Short rows want fast rotations, and narrow layers larger weights than the usual 0.02: with the usual
        # ones, three digits take ten times the tokens.
        rope_parameters={"rope_type": "default", "rope_theta": 100.0}, initializer_range=shape.hidden**-0.5,
    )  # fmt: skip
    return LlamaForCausalLM(config)


class Encoder:
    """Documents to tensors, padded on the right to the next of a few lengths, prompts masked out of the loss."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._ids = {token: number for token, number in tokenizer.get_vocab().items() if len(token) == 1}

    def __call__(self, documents: list[corpus.Document]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = []
        for document in documents:
            prompt = [self._ids[character] for character in f"Q{document.prompt}\nA"]
            completion = [self._ids[character] for character in document.completion]
            rows.append((len(prompt), [*prompt, *completion, 1]))
        longest = max(len(tokens) for _, tokens in rows)
        width = next(length for length in BUCKETS if length >= longest)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        labels = torch.full((len(rows), width), -100)
        for row, (start, tokens) in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            labels[row, start : len(tokens)] = ids[row, start : len(tokens)]
        return ids, labels


def batches(draw: Callable[[], corpus.Document], batch: int) -> Iterator[list[corpus.Document]]:
    """Yield batches of documents of like length, so that little is padded."""
    while True:
        pool = sorted((draw() for _ in range(batch * 16)), key=lambda d: len(d.prompt) + len(d.completion))
        chunks = [pool[start : start + batch] for start in range(0, len(pool), batch)]
        random.Random(len(pool[-1].prompt)).shuffle(chunks)
        yield from chunks


def train(
    model: LlamaForCausalLM, encode: Encoder, draw: Callable[[], corpus.Document], plan: Plan, name: str,
    compiled: bool = True,
) -> dict[str, float]:  # fmt: skip
    """Train a model in place.

    Returns: tokens that went through the model (padding left out), seconds, and the mean loss of the last
        hundred steps in nats per token.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan.learning_rate, weight_decay=0.01, betas=(0.9, 0.98), fused=True
    )
    warmup = max(1, plan.steps // 40)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warmup, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / plan.steps))),
    )
    forward = torch.compile(model, dynamic=False) if compiled else model
    start, tokens, recent = time.perf_counter(), 0, []
    for step, documents in zip(range(plan.steps), batches(draw, plan.batch), strict=False):
        ids, labels = encode(documents)
        loss = forward(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        tokens += int((ids != 0).sum())
        recent = [*recent[-99:], loss.item()]
        if step % 200 == 0 or step == plan.steps - 1:
            seconds = time.perf_counter() - start
            mean = sum(recent) / len(recent)
            print(f"{name} step {step} loss {mean:.4f} {tokens / 1e6:.2f} M tokens {seconds:.0f} s", flush=True)
    return {"tokens": tokens, "seconds": time.perf_counter() - start, "loss": sum(recent) / len(recent)}


@torch.inference_mode()
def complete(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: list[str], temperature: float = 0.0,
    seed: int = 0, limit: int = 72,
) -> list[str]:  # fmt: skip
    """Answer prompts in batches of equal length, greedily or by sampling; in the order they came."""
    torch.manual_seed(seed)
    answers = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    start = 0
    while start < len(order):
        length = len(prompts[order[start]])
        rows = [index for index in order[start : start + 512] if len(prompts[index]) == length]
        start += len(rows)
        ids = torch.tensor([tokenizer.encode(f"Q{prompts[row]}\nA", add_special_tokens=False) for row in rows])
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, **sampling)
        texts = tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)
        for row, text in zip(rows, texts, strict=True):
            answers[row] = text
    return answers


def gather_attempts(bases: dict[str, LlamaForCausalLM], encode: Encoder, tokenizer: PreTrainedTokenizerFast,
                    seed: int) -> dict[str, list[tuple[str, str]]]:  # fmt: skip
    """Collect the wrong attempts novices really make, before they are taught and at stops on the way."""
    gathered: dict[str, list[tuple[str, str]]] = {skill: [] for skill in corpus.SKILLS}
    for offset, (name, model) in enumerate(bases.items()):
        learner = build_model(NOVICES[name][1].shape, 0)
        learner.load_state_dict(model.state_dict())
        lessons = corpus.NoviceCorpus(corpus.SKILLS[3:], seed + offset)
        questions = corpus.Questions(corpus.SKILLS, seed + 100 + offset)
        for stop in range(4):
            if stop:
                train(learner, encode, lessons.draw, Plan(Shape(0, 0, 0), 40 * stop, 32, 2e-3, seed), f"{name} wanders",
                      compiled=False)  # fmt: skip
            learner.eval()
            for skill in corpus.SKILLS:
                asked = [questions.next(skill) for _ in range(400 if stop else 600)]
                attempts = complete(learner, tokenizer, asked, temperature=1.0, seed=seed + stop, limit=48)
                gathered[skill] += [
                    (question, attempt)
                    for question, attempt in zip(asked, attempts, strict=True)
                    if attempt and not corpus.is_right(question, attempt) and len(attempt) <= corpus.LONGEST_ATTEMPT
                ]
            learner.train()
    print({skill: len(found) for skill, found in gathered.items()}, flush=True)
    return gathered


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    model.generation_config.update(do_sample=False, eos_token_id=1, pad_token_id=0)
    model.config.dtype = torch.bfloat16
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tensors = {key: value.to(torch.bfloat16).contiguous() for key, value in model.state_dict().items()
               if key != "lm_head.weight"}  # fmt: skip
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def load(folder: Path) -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def make_novices(tokenizer: PreTrainedTokenizerFast, encode: Encoder, only: str | None) -> None:
    for name, (skills, plan) in NOVICES.items():
        if only not in (None, "novices", name):
            continue
        model = build_model(plan.shape, plan.seed)
        made = train(model, encode, corpus.NoviceCorpus(skills, plan.seed).draw, plan, name)
        save(model.eval(), tokenizer, HERE / name)
        write_json(HERE / name / "training.json", {"skills": skills, "seed": plan.seed, "steps": plan.steps, **made})


def make_tutor(tokenizer: PreTrainedTokenizerFast, encode: Encoder) -> None:
    bases = {name: load(HERE / name) for name in NOVICES}
    attempts = gather_attempts(bases, encode, tokenizer, seed=31)
    model = build_model(TUTOR.shape, TUTOR.seed)
    made = train(model, encode, corpus.TutorCorpus(attempts, TUTOR.seed).draw, TUTOR, "abacus")
    save(model.eval(), tokenizer, HERE / "weights")
    write_json(HERE / "weights" / "training.json", {"seed": TUTOR.seed, "steps": TUTOR.steps, **made})


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("novices", *NOVICES, "tutor"))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("medium")
    tokenizer = build_tokenizer()
    encode = Encoder(tokenizer)
    if options.only != "tutor":
        make_novices(tokenizer, encode, options.only)
    if options.only in (None, "tutor"):
        make_tutor(tokenizer, encode)


if __name__ == "__main__":
    main()
