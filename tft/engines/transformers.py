"""The embedded engine: a transformers model in this process, without a server, a GPU or a network.

Prompts are sorted by length and cut into batches, so that the answers are a function of the list of prompts and
nothing else. What is sampled is drawn for every row from a seed of its own, whatever shares its batch. Rows that
have ended leave the batch. Left out on purpose: paged memory, continuous batching and speculative decoding, for
which there is vLLM.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    BitsAndBytesConfig,
)
from transformers.utils import logging as transformers_logging

from tft.engines.decoder_only import DecoderOnly
from tft.engines.encoder_decoder import EncoderDecoder
from tft.engines.encoding import (
    PromptEncoder,
    end_of_answer,
    find_template,
    name_template,
    row_seeds,
    score_answers,
    template_around,
)
from tft.errors import PrerequisiteError, RefusedError
from tft.library import split_revision
from tft.ports import Generation, Sampling, Scores, TopLogprobs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tft.config.campaign import TransformersEngineConfig
    from tft.engines.architecture import Architecture, Prefix, Reading
    from tft.records import Message


_KIND = "transformers/philox"
"""Names this engine, and how it draws what it samples."""


def load_model(
    folder: Path | str, *, training: bool = False, chat_template: str | None = None, four_bits: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a language model and its tokenizer, with a chat template of one's own if one is given.

    A decoder-only model needs a chat template; an encoder-decoder model that brings none gets that of
    :func:`template_around`.

    On a CPU the weights are float32 and attention is eager: for short rows it is faster there than the fused
    kernel, and left-padding does not change greedy answers. On a GPU they are bfloat16 with fused attention where
    the model has it, but for training: there small updates would be lost in bfloat16, and they stay float32. In four
    bits are those of linear layers, all but the output head; products with them are in the numbers of the others.

    Among the tokens at which the model stops is the one that ends an answer in its template.

    Raises:
        PrerequisiteError: if a decoder-only model brings no chat template, or bitsandbytes is needed and not there.
    """
    name, revision = split_revision(str(folder))
    in_two = AutoConfig.from_pretrained(name, revision=revision or "main").is_encoder_decoder
    options = {"quantization_config": _in_four_bits(_dtype(training))} if four_bits else {}
    model = _load(AutoModelForSeq2SeqLM if in_two else AutoModelForCausalLM, folder, training, **options)
    if four_bits:
        _keep_packed(model)
    tokenizer = _load_tokenizer(folder, chat_template)
    if tokenizer.chat_template is None and in_two:
        tokenizer.chat_template = template_around(tokenizer)
    if tokenizer.chat_template is None:
        raise PrerequisiteError(
            f"{folder} brings no chat template, so nobody knows how it is asked: name one in students.chat_template, "
            "or for a tutor in engine.template.chat_template; `plain` puts turns one after the other"
        )
    _stop_after_answers(model, tokenizer)
    return model.to(_device()).eval(), tokenizer


def load_encoder(
    folder: Path | str, *, training: bool = False, chat_template: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model that reads and cannot write, such as BERT, with its tokenizer; it needs no chat template.

    A pooler is left away: many checkpoints lack its weights, and chance would fill them in.

    Raises:
        PrerequisiteError: if the checkpoint lacks weights of anything else.
    """
    told = transformers_logging.get_verbosity()
    # It would report the head that the model was trained with, which nobody wants here.
    transformers_logging.set_verbosity_error()
    model, found = _load(AutoModel, folder, training, output_loading_info=True)
    transformers_logging.set_verbosity(told)
    missing = sorted(name for name in found["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise PrerequisiteError(f"{folder} lacks weights of its model: {', '.join(missing[:3])}")
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model.to(_device()).eval(), _load_tokenizer(folder, chat_template)


def _load(kind: Any, folder: Path | str, training: bool, **options: Any) -> Any:
    transformers_logging.disable_progress_bar()
    gpu = torch.cuda.is_available()
    name, revision = split_revision(str(folder))
    return kind.from_pretrained(
        name,
        revision=revision or "main",
        use_safetensors=True,
        dtype=_dtype(training),
        attn_implementation=None if gpu else "eager",
        **options,
    )


def _dtype(training: bool) -> torch.dtype:
    return torch.bfloat16 if torch.cuda.is_available() and not training else torch.float32


def _load_tokenizer(folder: Path | str, chat_template: str | None) -> PreTrainedTokenizerBase:
    name, revision = split_revision(str(folder))
    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision or "main")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    return tokenizer


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _in_four_bits(dtype: torch.dtype) -> BitsAndBytesConfig:
    """Say how weights are kept: as normal floats of four bits, whose scales are in eight (Dettmers et al. 2023)."""
    if find_spec("bitsandbytes") is None:
        raise PrerequisiteError(
            "adapter.quantize needs bitsandbytes, which is not installed: install the extra [qlora], or leave "
            "quantize out"
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _stop_after_answers(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Name the token that ends an answer where transformers and vLLM look for it; it is saved with the model.

    A base model often names only the token that ends its texts, though it is taught to end an answer as its chat
    template does.
    """
    named = model.generation_config.eos_token_id
    ends = [named] if isinstance(named, int) else list(named or ())
    end = end_of_answer(tokenizer)
    if end is not None and end not in ends:
        model.generation_config.eos_token_id = [*ends, end]


def _keep_packed(model: PreTrainedModel) -> None:
    """Leave weights of four bits in the form they have.

    On CPUs with AVX512-BF16, bitsandbytes 0.50 packs them anew when a model first answers, for a product that has no
    gradient; a student that answers while it learns would learn nothing from there on, and nobody would say so.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


@dataclass(frozen=True, slots=True)
class Sampled:
    """How a row of tokens went on."""

    tokens: list[int]
    """The end included."""
    logprob: float
    """Sum over the tokens, in nats, under the untempered model."""
    finished: bool
    """False where the length limit cut it off."""


class TransformersEngine:
    """Generate and score with a transformers model.

    Args:
        model: a decoder-only or an encoder-decoder language model, with or without a PEFT adapter.
        tokenizer: its tokenizer, with a chat template.
        fingerprint: names the weights.
        batch_size: rows that run together; part of what decides an answer to the last bit.
        template: switches of its chat template.
        prefix: keys and values that stand before every prompt, a pair a layer, each [1, heads, P, head size]; None
            where there are none. Only a decoder-only model has them.

    Raises:
        PrerequisiteError: if a decoder with an encoder does not say what it begins with.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        fingerprint: str,
        batch_size: int = 512,
        template: dict[str, Any] | None = None,
        prefix: Prefix | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.architecture: Architecture
        if model.config.is_encoder_decoder:
            self.architecture = EncoderDecoder(model, tokenizer.pad_token_id)
        else:
            self.architecture = DecoderOnly(model, tokenizer.pad_token_id, prefix)
        # The template itself is the tokenizer's; what is left are its switches.
        self._template = {name: it for name, it in (template or {}).items() if name != "chat_template"}
        self._named = name_template(template or {})
        self.encode = PromptEncoder(tokenizer, self._template)
        self.steps = 0
        self._fingerprint = fingerprint
        ends = model.generation_config.eos_token_id
        self._ends = torch.tensor([ends] if isinstance(ends, int) else ends, device=model.device)

    @classmethod
    def open(cls, address: str, fingerprint: str, config: TransformersEngineConfig) -> TransformersEngine:
        """Load a model from a folder or the hub and run it here."""
        switches = dict(config.template)
        own = switches.pop("chat_template", None)
        model, tokenizer = load_model(address, chat_template=find_template(own))
        return cls(model, tokenizer, fingerprint, config.batch_size, config.template)

    @property
    def fingerprint(self) -> str:
        """Weights, batch size, precision and threads: all that decides an answer."""
        precision = torch.get_float32_matmul_precision()
        return f"{self._fingerprint}/{_KIND}/{self.batch_size}/{precision}/{torch.get_num_threads()}{self._named}"

    counts_exactly = True
    guided = False
    concurrent = False

    @property
    def context(self) -> int | None:
        """Positions the model was made for."""
        return getattr(self.model.config, "max_position_embeddings", None)

    def count(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        """Count the tokens of each conversation, the chat template included."""
        return list(map(len, self.encode(prompts)))

    def generate(
        self, prompts: Sequence[Sequence[Message]], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Generation]:
        """Answer every conversation, in the order they came; an empty list for none."""
        encoded = self.encode(prompts)
        return [
            Generation(
                text=self.tokenizer.decode(answer.tokens, skip_special_tokens=True),
                prompt_tokens=len(row),
                tokens=len(answer.tokens),
                finished=answer.finished,
                logprob=answer.logprob,
            )
            for row, answer in zip(encoded, self.sample(encoded, sampling, seeds), strict=True)
        ]

    def sample(
        self, rows: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Sampled]:
        """Go on after every row of tokens, in the order they came."""
        drawn = row_seeds(sampling, seeds, len(rows))
        found: dict[int, Sampled] = {}
        for batch in self._batches(rows):
            answers = self._decode([rows[row] for row in batch], sampling, [drawn[row] for row in batch])
            found.update(zip(batch, answers, strict=True))
        return [found[row] for row in range(len(rows))]

    def score(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[Scores]:
        """Give the log-probability of every token of the completions, the end token included."""
        heads = self.encode(prompts)
        chosen = partial(self._chosen, starts=[len(head) for head in heads])
        return score_answers(self.tokenizer, heads, completions, self.encode.end_of_answer, chosen)

    def logprobs(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Give the log-probability of every token of rows but the first.

        Raises:
            RefusedError: if there is no such token, or to the model prompt and answer are not one text.
        """
        self._refuse_two_pieces()
        return self._chosen(rows, [1] * len(rows))

    def top_logprobs(
        self, rows: Sequence[Sequence[int]], starts: Sequence[int], k: int | None = None
    ) -> list[TopLogprobs]:
        """Give the likeliest tokens, with their log-probabilities, at every place of rows from a start on.

        Raises:
            RefusedError: if there is no such token, or to the model prompt and answer are not one text.
        """
        self._refuse_two_pieces()
        found: dict[int, TopLogprobs] = {}
        for batch, read, logprobs_BTV in self._read(rows, starts):
            size = logprobs_BTV.shape[-1]
            if k is not None and k < size:
                top_BTK, ids_BTK = logprobs_BTV.topk(k, -1)
            else:
                top_BTK, ids_BTK = logprobs_BTV, torch.arange(size, device=logprobs_BTV.device).expand_as(logprobs_BTV)
            chosen = logprobs_BTV.gather(-1, read.tokens_BT[..., None])[..., 0].cpu().numpy()
            top, likeliest = top_BTK.cpu().numpy(), ids_BTK.int().cpu().numpy()
            for place, (row, at) in enumerate(zip(batch, read.places, strict=True)):
                found[row] = TopLogprobs(likeliest[place, at], top[place, at], chosen[place, at])
        return [found[row] for row in range(len(rows))]

    def _refuse_two_pieces(self) -> None:
        if not self.architecture.in_one_piece:
            raise RefusedError(
                "an encoder-decoder model reads a prompt and writes an answer: tokens of a row that is not parted into "
                "the two have no probability"
            )

    def _chosen(self, rows: Sequence[Sequence[int]], starts: Sequence[int]) -> list[list[float]]:
        """Give the log-probability of the tokens of rows, from a start on."""
        found: list[list[float]] = [[] for _ in rows]
        for batch, read, logprobs_BTV in self._read(rows, starts):
            chosen_BT = logprobs_BTV.gather(-1, read.tokens_BT[..., None])[..., 0]
            for place, (row, at) in enumerate(zip(batch, read.places, strict=True)):
                found[row] = chosen_BT[place, at].tolist()
        return found

    @torch.inference_mode()
    def _read(
        self, rows: Sequence[Sequence[int]], starts: Sequence[int]
    ) -> Iterator[tuple[list[int], Reading, torch.Tensor]]:
        """Read rows in batches; give which they are, what was read and the log-probabilities at its places."""
        size = self.model.get_input_embeddings().num_embeddings
        if any(not 0 <= token < size for row in rows for token in row):
            raise RefusedError(f"prompt: tokens go from 0 to {size - 1}")
        for batch in self._batches(rows):
            read = self.architecture.read([rows[row] for row in batch], [starts[row] for row in batch])
            self.steps += 1
            yield batch, read, torch.log_softmax(read.logits_BTV.float(), -1)

    def _batches(self, encoded: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        order = sorted(range(len(encoded)), key=lambda row: (len(encoded[row]), row))
        for start in range(0, len(order), self.batch_size):
            yield order[start : start + self.batch_size]

    @torch.inference_mode()
    def _decode(self, rows: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]) -> list[Sampled]:
        writing = self.architecture.write(rows)
        written: list[list[int]] = [[] for _ in rows]
        logprobs = [0.0] * len(rows)
        finished = [False] * len(rows)
        live = list(range(len(rows)))
        draws = _draws(seeds, sampling) if sampling.temperature else None
        for step in range(sampling.max_tokens):
            logits_BV = writing.next()
            self.steps += 1
            drawn_B = None if draws is None else draws[live, step].to(logits_BV.device)
            tokens_B, chosen_B = _choose(logits_BV.float(), sampling.temperature, drawn_B)
            ended_B = torch.isin(tokens_B, self._ends)
            for row, token, logprob, ended in zip(
                live, tokens_B.tolist(), chosen_B.tolist(), ended_B.tolist(), strict=True
            ):
                written[row].append(token)
                logprobs[row] += logprob
                finished[row] = ended
            keep = (~ended_B).nonzero()[:, 0]
            if len(keep) == 0:
                break
            live = [live[place] for place in keep.tolist()]
            writing.go_on(tokens_B, keep)
        return [Sampled(*row) for row in zip(written, logprobs, finished, strict=True)]


def _draws(seeds: Sequence[int], sampling: Sampling) -> torch.Tensor:
    """Draw a number in [0, 1) for every row and step, each row from a seed of its own; [B, max_tokens]."""
    return torch.from_numpy(
        np.stack([np.random.Generator(np.random.Philox(seed)).random(sampling.max_tokens) for seed in seeds])
    )


def _choose(
    logits_BV: torch.Tensor, temperature: float, drawn_B: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose a token a row, and give its untempered log-probability: the likeliest, or where a drawn number falls."""
    logprobs_BV = torch.log_softmax(logits_BV, -1)
    if drawn_B is None:
        tokens_B = logits_BV.argmax(-1)
    else:
        # In float64, because in a large vocabulary the steps of the sum are small.
        reached_BV = torch.softmax(logits_BV.double() / temperature, -1).cumsum(-1)
        aim_B1 = drawn_B[:, None] * reached_BV[:, -1:]
        tokens_B = torch.searchsorted(reached_BV, aim_B1, right=True)[:, 0].clamp(max=logits_BV.shape[-1] - 1)
    return tokens_B, logprobs_BV.gather(-1, tokens_B[:, None])[:, 0]
