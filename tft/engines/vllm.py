"""The vLLM engine: a model in this process on vLLM, with paged memory, continuous batching and shared prefixes.

All requests of a call are given to vLLM at once and it decides what runs together. What runs together may change
the last bit of a sum, so the answers to a call are a matter of that call; a repeated campaign takes them from the
cache. vLLM's core stays in this process where it needs one device, so that it ends when this process does, however
that ends. The only room that imports vllm.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch

from tft.engines.encoding import encode_answered, encode_prompt, row_seed
from tft.errors import PrerequisiteError
from tft.ports import Generation, Sampling, Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.config.campaign import VLLMEngineConfig
    from tft.records import Message


class VLLMEngine:
    """Generate and score with vLLM.

    Args:
        llm: a ``vllm.LLM``.
        fingerprint: names the weights.
        config: how it is run.
    """

    guided = True
    counts_exactly = True

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
            from vllm.platforms import current_platform
        except ImportError as error:
            raise PrerequisiteError(
                f"the engine vllm needs vLLM, which cannot be imported: {error}. With a GPU, install the extra "
                "tutorial-fine-tuning[vllm]; docs/engines.md says how without one"
            ) from error
        settings = {
            "max_model_len": config.context,
            "max_num_seqs": config.sequences,
            "gpu_memory_utilization": config.gpu_memory,
            "block_size": config.block_size,
            # A prompt in pieces rewinds the generator of its row after each, which generators of a CPU cannot.
            "enable_chunked_prefill": False if current_platform.is_cpu() else None,
        }
        set_threads = torch.set_num_threads
        try:
            llm = LLM(
                model=address,
                dtype=config.dtype,
                enforce_eager=config.eager,
                tensor_parallel_size=config.tensor_parallel,
                pipeline_parallel_size=config.pipeline_parallel,
                enable_prefix_caching=True,
                # White space without end is grammatical JSON, and weak models write it.
                structured_outputs_config={"backend": "xgrammar", "disable_any_whitespace": True},
                use_tqdm_on_load=False,
                **{name: value for name, value in settings.items() if value is not None},
            )
        except (ValueError, RuntimeError, OSError) as error:
            raise PrerequisiteError(f"vLLM does not take the model {address}: {error}") from error
        finally:
            # Without a GPU vLLM takes this from the whole process; other stages may run in it.
            torch.set_num_threads = set_threads
        return cls(llm, fingerprint, config)

    @property
    def fingerprint(self) -> str:
        """Weights, version and number format: what decides an answer, but for what runs together."""
        from vllm import __version__

        parallel = self._config.tensor_parallel * self._config.pipeline_parallel
        return f"{self._fingerprint}/vllm/{__version__}/{self._config.dtype}/{parallel}"

    @property
    def context(self) -> int | None:
        """What it was opened with, or what the model was made for."""
        return int(self._llm.model_config.max_model_len)

    def count(self, prompts: Sequence[Sequence[Message]]) -> int:
        """Count the tokens of conversations, the chat template included."""
        return sum(len(encode_prompt(self._tokenizer, messages)) for messages in prompts)

    def generate(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Generation]:
        """Answer every conversation, in the order they came; an empty list for none."""
        if not prompts:
            return []
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        asked = [
            SamplingParams(
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                seed=row_seed(sampling.seed, place),
                logprobs=0 if sampling.logprobs else None,
                structured_outputs=None if sampling.schema is None else StructuredOutputsParams(json=sampling.schema),
            )
            for place in range(len(prompts))
        ]
        rows = [{"prompt_token_ids": encode_prompt(self._tokenizer, messages)} for messages in prompts]
        return [_generation(found) for found in self._llm.generate(rows, asked, use_tqdm=False)]

    def score(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[Scores]:
        """Give the log-probability of every token of the completions, the end token included."""
        rows = list(encode_answered(self._tokenizer, prompts, completions))
        if not rows:
            return []
        from vllm import SamplingParams

        asked = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0)
        ids = [{"prompt_token_ids": prompt + answer} for prompt, answer in rows]
        scores = []
        for (prompt, answer), found in zip(rows, self._llm.generate(ids, asked, use_tqdm=False), strict=True):
            given = found.prompt_logprobs[len(prompt) :]
            logprobs = tuple(at[token].logprob for at, token in zip(given, answer, strict=True))
            scores.append(Scores(tuple(answer), logprobs))
        return scores


def _generation(found: Any) -> Generation:
    (answer,) = found.outputs
    return Generation(
        text=answer.text,
        prompt_tokens=len(found.prompt_token_ids),
        tokens=len(answer.token_ids),
        finished=answer.finish_reason == "stop",
        logprob=answer.cumulative_logprob,
    )


def _environment(config: VLLMEngineConfig) -> dict[str, str]:
    """Say what vLLM reads from the environment; what the user has set there stands."""
    found = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    if config.cpu_cache_gib is not None:
        found["VLLM_CPU_KVCACHE_SPACE"] = str(config.cpu_cache_gib)
    if config.tensor_parallel * config.pipeline_parallel == 1:
        found["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    return found
