"""The embedded engine: a transformers model in this process, without a server, a GPU or a network.

Prompts are sorted by length and cut into batches, so that the answers are a function of the list of prompts and
nothing else. What is sampled is drawn for every row from a seed of its own, whatever shares its batch. Rows that
have ended leave the batch. Left out on purpose: paged memory, continuous batching and speculative decoding, for
which there is vLLM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.utils import logging as transformers_logging

from tft.engines.encoding import PromptEncoder, name_template, row_seeds, score_answers
from tft.errors import RefusedError
from tft.library import split_revision
from tft.ports import Generation, Sampling, Scores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tft.config.campaign import TransformersEngineConfig
    from tft.records import Message


_KIND = "transformers/philox"
"""Names this engine, and how it draws what it samples."""


def load_model(folder: Path | str, *, training: bool = False) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its tokenizer.

    On a CPU the weights are float32 and attention is eager: for short rows it is faster there than the fused
    kernel, and left-padding does not change greedy answers. On a GPU they are bfloat16 with fused attention,
    but for training: there small updates would be lost in bfloat16, and they stay float32.
    """
    transformers_logging.disable_progress_bar()
    gpu = torch.cuda.is_available()
    name, revision = split_revision(str(folder))
    model = AutoModelForCausalLM.from_pretrained(
        name,
        revision=revision or "main",
        use_safetensors=True,
        dtype=torch.bfloat16 if gpu and not training else torch.float32,
        attn_implementation="sdpa" if gpu else "eager",
    )
    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision or "main")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to("cuda" if gpu else "cpu").eval(), tokenizer


class TransformersEngine:
    """Generate and score with a transformers model.

    Args:
        model: a causal language model, with or without a PEFT adapter.
        tokenizer: its tokenizer, with a chat template.
        fingerprint: names the weights.
        batch_size: rows that run together; part of what decides an answer to the last bit.
        template: switches of its chat template.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        fingerprint: str,
        batch_size: int = 512,
        template: dict[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self._template = template or {}
        self._encode = PromptEncoder(tokenizer, self._template)
        self.steps = 0
        self._fingerprint = fingerprint
        ends = model.generation_config.eos_token_id
        self._ends = torch.tensor([ends] if isinstance(ends, int) else ends, device=model.device)

    @classmethod
    def open(cls, address: str, fingerprint: str, config: TransformersEngineConfig) -> TransformersEngine:
        """Load a model from a folder or the hub and run it here."""
        return cls(*load_model(address), fingerprint, config.batch_size, config.template)

    @property
    def fingerprint(self) -> str:
        """Weights, batch size, precision and threads: all that decides an answer."""
        precision = torch.get_float32_matmul_precision()
        named = name_template(self._template)
        return f"{self._fingerprint}/{_KIND}/{self.batch_size}/{precision}/{torch.get_num_threads()}{named}"

    counts_exactly = True
    guided = False
    concurrent = False

    @property
    def context(self) -> int | None:
        """Positions the model was made for."""
        return getattr(self.model.config, "max_position_embeddings", None)

    def count(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        """Count the tokens of each conversation, the chat template included."""
        return list(map(len, self._encode(prompts)))

    def generate(
        self, prompts: Sequence[Sequence[Message]], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Generation]:
        """Answer every conversation, in the order they came; an empty list for none."""
        encoded = self._encode(prompts)
        drawn = row_seeds(sampling, seeds, len(encoded))
        generations: list[Generation | None] = [None] * len(encoded)
        for rows in self._batches(encoded):
            answers = self._decode([encoded[row] for row in rows], sampling, [drawn[row] for row in rows])
            for row, (tokens, logprob, finished) in zip(rows, answers, strict=True):
                generations[row] = Generation(
                    text=self.tokenizer.decode(tokens, skip_special_tokens=True),
                    prompt_tokens=len(encoded[row]),
                    tokens=len(tokens),
                    finished=finished,
                    logprob=logprob,
                )
        return [generation for generation in generations if generation is not None]

    def score(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[Scores]:
        """Give the log-probability of every token of the completions, the end token included."""
        return score_answers(self.tokenizer, self._encode(prompts), completions, self.logprobs)

    @torch.inference_mode()
    def logprobs(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Give the log-probability of every token of rows but the first.

        Raises:
            RefusedError: if there is no such token.
        """
        size = self.model.get_input_embeddings().num_embeddings
        if any(not 0 <= token < size for row in rows for token in row):
            raise RefusedError(f"prompt: tokens go from 0 to {size - 1}")
        found: list[list[float]] = [[] for _ in rows]
        for batch in self._batches(rows):
            ids, mask = self._pad([rows[row] for row in batch])
            logits = self.model(input_ids=ids, attention_mask=mask, **self._positions(mask)).logits
            logprobs_BT = torch.log_softmax(logits[:, :-1].float(), -1).gather(-1, ids[:, 1:, None])[..., 0]
            self.steps += 1
            for place, row in enumerate(batch):
                count = len(rows[row]) - 1
                found[row] = logprobs_BT[place, -count:].tolist() if count else []
        return found

    def _batches(self, encoded: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        order = sorted(range(len(encoded)), key=lambda row: (len(encoded[row]), row))
        for start in range(0, len(order), self.batch_size):
            yield order[start : start + self.batch_size]

    def _pad(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        longest = max(len(row) for row in rows)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        return ids.to(self.model.device), mask.to(self.model.device)

    @staticmethod
    def _positions(mask: torch.Tensor) -> dict[str, Any]:
        return {"position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}

    @torch.inference_mode()
    def _decode(
        self, rows: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]
    ) -> list[tuple[list[int], float, bool]]:
        ids, mask = self._pad(rows)
        positions = self._positions(mask)["position_ids"]
        cache = DynamicCache(config=self.model.config)
        written: list[list[int]] = [[] for _ in rows]
        logprobs = [0.0] * len(rows)
        finished = [False] * len(rows)
        live = list(range(len(rows)))
        draws = _draws(seeds, sampling) if sampling.temperature else None
        for step in range(sampling.max_tokens):
            logits_BV = self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
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
            if len(keep) < len(live):
                live = [live[place] for place in keep.tolist()]
                cache.batch_select_indices(keep)
                mask, positions, tokens_B = mask[keep], positions[keep], tokens_B[keep]
            ids = tokens_B[:, None]
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], 1)
            positions = positions[:, -1:] + 1
        return list(zip(written, logprobs, finished, strict=True))


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
