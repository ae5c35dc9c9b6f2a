"""The vLLM engine: a model in this process on vLLM, with paged memory, continuous batching and shared prefixes.

One thread owns vLLM and steps it while there is work; calls from any number of threads join what is under way, so
that small calls fill the batches of large ones. What runs together may change the last bit of a sum; a repeated
campaign takes its answers from the cache. vLLM's core stays in this process where it needs one device, and has one of
its own where it needs several; either way it ends when this process does, however that ends. Nobody else imports vllm,
but for ``vllm_core``.
"""

from __future__ import annotations

import os
import queue
import threading
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tft.config.campaign import STRUCTURED_OUTPUTS
from tft.engines.encoding import PromptEncoder, name_template, read_tops, row_seeds, score_answers
from tft.errors import EngineLostError, PrerequisiteError, RefusedError
from tft.library import split_revision
from tft.placement import GPU_SHARE
from tft.ports import Generation, Sampling, Scores, TopLogprobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.config.campaign import VLLMEngineConfig
    from tft.records import Message


class VLLMEngine:
    """Generate and score with vLLM.

    Args:
        address: folder or hub name of the model.
        fingerprint: names the weights.
        config: how it is run.

    Raises:
        PrerequisiteError: if vLLM is not installed, or does not take the model.
    """

    guided = True
    counts_exactly = True
    concurrent = True

    def __init__(self, address: str, fingerprint: str, config: VLLMEngineConfig) -> None:
        self._config = config
        self._fingerprint = fingerprint
        self._driver = _Driver(address, config)
        self.tokenizer = self.llm.get_tokenizer()
        self.encode = PromptEncoder(self.tokenizer, config.template)

    @classmethod
    def open(cls, address: str, fingerprint: str, config: VLLMEngineConfig) -> VLLMEngine:
        """Load a model into vLLM in this process."""
        return cls(address, fingerprint, config)

    @property
    def llm(self) -> Any:
        """The ``vllm.LLM``, for what this engine does not do; to be called only while nobody calls the engine."""
        return self._driver.llm

    @property
    def fingerprint(self) -> str:
        """Weights, version and number format: what decides an answer, but for what runs together."""
        from vllm import __version__

        named = name_template(self._config.template)
        return f"{self._fingerprint}/vllm/{__version__}/{self._config.dtype}/{self._config.gpus}{named}"

    @property
    def context(self) -> int | None:
        """What it was opened with, or what the model was made for."""
        return int(self.llm.model_config.max_model_len)

    @property
    def steps(self) -> int:
        """Steps of vLLM."""
        return self._driver.steps

    def count(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        """Count the tokens of each conversation, the chat template included."""
        return list(map(len, self.encode(prompts)))

    def generate(
        self, prompts: Sequence[Sequence[Message]], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Generation]:
        """Answer every conversation, in the order they came; an empty list for none.

        Raises:
            RefusedError: if vLLM refuses a conversation.
            EngineLostError: if it fell over.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        end = self.encode.end_of_answer
        asked = [
            SamplingParams(
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                seed=seed if sampling.temperature else None,
                # Of a base model that is often another token than those it names itself.
                stop_token_ids=None if end is None else [end],
                logprobs=0 if sampling.logprobs else None,
                structured_outputs=None if sampling.schema is None else StructuredOutputsParams(json=sampling.schema),
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            for seed in row_seeds(sampling, seeds, len(prompts))
        ]
        rows = self.encode(prompts)
        return [_generation(found) for found in self._driver.run(rows, asked)]

    def score(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[Scores]:
        """Give the log-probability of every token of the completions, the end token included."""
        end = self.encode.end_of_answer
        return score_answers(self.tokenizer, self.encode(prompts), completions, end, self.logprobs)

    def logprobs(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Give the log-probability of every token of rows but the first."""
        return [
            [at[token].logprob for at, token in zip(found.prompt_logprobs[1:], row[1:], strict=True)]
            for found, row in zip(self._read(rows, 0), rows, strict=True)
        ]

    def top_logprobs(
        self, rows: Sequence[Sequence[int]], starts: Sequence[int], k: int | None = None
    ) -> list[TopLogprobs]:
        """Give the likeliest tokens, with their log-probabilities, at every place of rows from a start on."""
        size = self.llm.model_config.get_vocab_size()
        wanted = size if k is None else min(k, size)
        return [
            read_tops([{token: it.logprob for token, it in at.items()} for at in found.prompt_logprobs[start:]],
                      row[start:], wanted)
            for found, row, start in zip(self._read(rows, -1 if wanted == size else wanted), rows, starts, strict=True)
        ]  # fmt: skip

    def _read(self, rows: Sequence[Sequence[int]], k: int) -> list[Any]:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        asked = [
            SamplingParams(
                max_tokens=1,
                temperature=0.0,
                prompt_logprobs=k,
                # It would write out every candidate of every place, one by one.
                detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            for _ in rows
        ]
        return self._driver.run(rows, asked)


class _Driver:
    """Owns a ``vllm.LLM`` in a thread of its own, and steps it while there is work.

    Args:
        address: folder or hub name of the model.
        config: how it is run.

    Raises:
        PrerequisiteError: if vLLM is not installed, or does not take the model.
    """

    def __init__(self, address: str, config: VLLMEngineConfig) -> None:
        self.steps = 0
        self._arrivals: queue.Queue[_Asked] = queue.Queue()
        self._under_way: dict[str, _Asked] = {}
        self._numbers = count()
        opened: Future[Any] = Future()
        arguments = (address, config, torch.get_num_threads(), opened)
        threading.Thread(target=self._live, args=arguments, name="vllm", daemon=True).start()
        self.llm = opened.result()

    def run(self, rows: Sequence[Sequence[int]], params: Sequence[Any]) -> list[Any]:
        """Answer rows of tokens, in order.

        Raises:
            RefusedError: if vLLM refuses a row.
            EngineLostError: if it fell over.
        """
        asked = [_Asked(row, it) for row, it in zip(rows, params, strict=True)]
        for it in asked:
            self._arrivals.put(it)
        return [it.answer.result() for it in asked]

    def _live(self, address: str, config: VLLMEngineConfig, threads: int, opened: Future[Any]) -> None:
        torch.set_num_threads(threads)
        try:
            llm = _open(address, config)
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result(llm)
        try:
            while True:
                self._take(llm)
                for found in llm.llm_engine.step():
                    self._under_way.pop(found.request_id).answer.set_result(found)
                self.steps += 1
        except BaseException as error:
            self._fall(f"{error!r}{_elsewhere(config)}")

    def _take(self, llm: Any) -> None:
        """Take in what has arrived; wait where there is nothing else to do."""
        from vllm.v1.engine.exceptions import EngineDeadError

        while not self._under_way or not self._arrivals.empty():
            asked = self._arrivals.get()
            name = str(next(self._numbers))
            self._under_way[name] = asked
            try:
                (prompt,) = llm.renderer.render_cmpl([{"prompt_token_ids": list(asked.row)}])
                llm.llm_engine.add_request(name, prompt, asked.params)
            except EngineDeadError:
                raise
            except Exception as error:  # what it refuses, it refuses in many ways
                self._under_way.pop(name).answer.set_exception(RefusedError(f"vLLM refuses a request: {error}"))

    def _fall(self, why: str) -> None:
        """Tell all who wait, and all who come, that there will be no answer."""
        told = (
            f"vLLM fell over: {why}\n    What was done is kept. Where memory ran out, lower engine.gpu_memory, "
            "engine.sequences or engine.context"
        )
        while True:
            for asked in self._under_way.values():
                asked.answer.set_exception(EngineLostError(told))
            self._under_way = {"": self._arrivals.get()}


class _Asked:
    """One row that somebody waits for."""

    def __init__(self, row: Sequence[int], params: Any) -> None:
        self.row = row
        self.params = params
        self.answer: Future[Any] = Future()


def _open(address: str, config: VLLMEngineConfig) -> Any:
    for variable, value in _environment(config).items():
        os.environ.setdefault(variable, value)
    try:
        from vllm import LLM
        from vllm.platforms import current_platform

        from tft.engines.vllm_core import BoundExecutor, watch_core
    except ImportError as error:
        raise PrerequisiteError(
            f"the engine vllm needs vLLM, which cannot be imported: {error}. With a GPU, install the extra "
            "tutorial-fine-tuning[vllm]; docs/engines.md says how without one"
        ) from error
    share = os.environ.get(GPU_SHARE)
    name, revision = split_revision(address)
    settings = {
        "max_model_len": config.context,
        "max_num_seqs": config.sequences,
        # A little of what it has stays free, as vLLM does with a whole GPU.
        "gpu_memory_utilization": config.gpu_memory or (0.9 * float(share) if share else None),
        "block_size": config.block_size,
        "distributed_executor_backend": BoundExecutor if config.gpus > 1 else None,
        # A prompt in pieces rewinds the generator of its row after each, which generators of a CPU cannot.
        "enable_chunked_prefill": False if current_platform.is_cpu() else None,
    }
    set_threads = torch.set_num_threads
    try:
        llm = LLM(
            model=name,
            revision=revision,
            tokenizer_revision=revision,
            dtype=config.dtype,
            enforce_eager=config.eager,
            tensor_parallel_size=config.tensor_parallel,
            pipeline_parallel_size=config.pipeline_parallel,
            enable_prefix_caching=True,
            structured_outputs_config=STRUCTURED_OUTPUTS,
            load_format="safetensors",
            # As many as are asked for: token distillation may want the whole vocabulary.
            max_logprobs=-1,
            use_tqdm_on_load=False,
            **{key: value for key, value in settings.items() if value is not None},
        )
    except (ValueError, RuntimeError, OSError) as error:
        raise PrerequisiteError(f"vLLM does not take the model {address}: {error}{_elsewhere(config)}") from error
    finally:
        # Without a GPU vLLM takes this from the whole process; other stages may run in it.
        torch.set_num_threads = set_threads
    watch_core(llm.llm_engine.engine_core)
    return llm


def _elsewhere(config: VLLMEngineConfig) -> str:
    """Say where processes of vLLM's own have written what they know; nothing where it has none."""
    if config.gpus == 1:
        return ""
    log = Path("/proc/self/fd/2").resolve()
    return f"\n    What its processes say of it stands in {log}" if log.is_file() else ""


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
    found = {
        "VLLM_LOGGING_LEVEL": "ERROR",
        # Where the tracebacks of its processes go as well.
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }
    if config.cpu_cache_gib is not None:
        found["VLLM_CPU_KVCACHE_SPACE"] = str(config.cpu_cache_gib)
    if config.gpus == 1:
        found["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    return found
