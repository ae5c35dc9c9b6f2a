"""The vLLM engine: a model in this process on vLLM, with paged memory and continuous batching.

All requests of a call are given to vLLM at once and it decides what runs together. What runs together may change
the last bit of a sum, so the answers to a call are a matter of that call; a repeated campaign takes them from the
cache. The only room that imports vllm.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tft.errors import PrerequisiteError
from tft.ports import Generation, Sampling, Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.config.campaign import VLLMEngineConfig
    from tft.records import Message

_APART = 1_000_003
"""Between the seeds of two batches, so that their rows do not share seeds."""


class VLLMEngine:
    """Generate and score with vLLM.

    Args:
        llm: a ``vllm.LLM``.
        fingerprint: names the weights.
        config: how it is run.
    """

    def __init__(self, llm: Any, fingerprint: str, config: VLLMEngineConfig) -> None:
        self._llm = llm
        self._config = config
        self._fingerprint = fingerprint
        self._tokenizer = llm.get_tokenizer()

    @classmethod
    def open(cls, address: str, fingerprint: str, config: VLLMEngineConfig) -> VLLMEngine:
        """Load a model into vLLM in this process.

        Raises:
            PrerequisiteError: if vLLM is not installed, or does not take the model.
        """
        for name, value in _environment(config).items():
            os.environ.setdefault(name, value)
        try:
            from vllm import LLM
        except ImportError as error:
            raise PrerequisiteError(
                f"the engine vllm needs vLLM, which cannot be imported ({error}). Install the extra: "
                "tutorial-fine-tuning[vllm] on a machine with a GPU, docs/engines.md says how without one"
            ) from error
        settings = {
            "max_model_len": config.context,
            "max_num_seqs": config.sequences,
            "gpu_memory_utilization": config.gpu_memory,
            "block_size": config.block_size,
        }
        try:
            llm = LLM(
                model=address,
                dtype=config.dtype,
                seed=0,
                enforce_eager=config.eager,
                tensor_parallel_size=config.tensor_parallel,
                pipeline_parallel_size=config.pipeline_parallel,
                enable_prefix_caching=True,
                **{name: value for name, value in settings.items() if value is not None},
            )
        except (ValueError, RuntimeError, OSError) as error:
            raise PrerequisiteError(f"vLLM does not take the model {address}: {error}") from error
        return cls(llm, fingerprint, config)

    @property
    def fingerprint(self) -> str:
        """Weights, version and number format: what decides an answer, but for what runs together."""
        from vllm import __version__

        parallel = self._config.tensor_parallel * self._config.pipeline_parallel
        return f"{self._fingerprint}/vllm/{__version__}/{self._config.dtype}/{parallel}"

    def count(self, prompts: Sequence[Sequence[Message]]) -> int:
        """Count the tokens of conversations, the chat template included."""
        return sum(len(self._encode(messages)) for messages in prompts)

    def generate(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Generation]:
        """Answer every conversation, in the order they came; an empty list for none."""
        if not prompts:
            return []
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        held = None if sampling.schema is None else StructuredOutputsParams(json=sampling.schema)
        asked = [
            SamplingParams(
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                seed=(sampling.seed * _APART + place) % 2**31,
                logprobs=0 if self._config.logprobs else None,
                structured_outputs=held,
            )
            for place in range(len(prompts))
        ]
        rows = [{"prompt_token_ids": self._encode(messages)} for messages in prompts]
        generations = []
        for found in self._llm.generate(rows, asked, use_tqdm=False):
            (answer,) = found.outputs
            generations.append(
                Generation(
                    text=answer.text,
                    prompt_tokens=len(found.prompt_token_ids),
                    tokens=len(answer.token_ids),
                    finished=answer.finish_reason == "stop",
                    logprob=answer.cumulative_logprob if self._config.logprobs else None,
                )
            )
        return generations

    def score(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[Scores]:
        """Give the log-probability of every token of the completions, the end token included."""
        from vllm import SamplingParams

        rows = []
        for messages, completion in zip(prompts, completions, strict=True):
            answer = list(self._tokenizer(completion, add_special_tokens=False)["input_ids"])
            rows.append((self._encode(messages), [*answer, self._tokenizer.eos_token_id]))
        if not rows:
            return []
        asked = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0)
        ids = [{"prompt_token_ids": prompt + answer} for prompt, answer in rows]
        scores = []
        for (prompt, answer), found in zip(rows, self._llm.generate(ids, asked, use_tqdm=False), strict=True):
            given = found.prompt_logprobs[len(prompt) :]
            logprobs = tuple(at[token].logprob for at, token in zip(given, answer, strict=True))
            scores.append(Scores(tuple(answer), logprobs))
        return scores

    def _encode(self, messages: Sequence[Message]) -> list[int]:
        text = self._tokenizer.apply_chat_template(
            [{"role": message.role, "content": message.content} for message in messages],
            add_generation_prompt=True,
            tokenize=False,
        )
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def _environment(config: VLLMEngineConfig) -> dict[str, str]:
    """Say what vLLM reads from the environment; what the user has set there stands."""
    found = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    if config.cpu_cache_gib is not None:
        found["VLLM_CPU_KVCACHE_SPACE"] = str(config.cpu_cache_gib)
    if config.tensor_parallel * config.pipeline_parallel == 1:
        # One process, which ends when this one ends, however it ends.
        found["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    return found
