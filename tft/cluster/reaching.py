"""A tutor that runs in its own worker, as an engine for stages that run elsewhere."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import ray
import torch
from ray.exceptions import RayTaskError

from tft.cluster.performing import TutorLostError
from tft.cluster.ray import ANSWERS, DEATHS, NAMESPACE, tell_death
from tft.engines.encoding import PromptEncoder, score_answers
from tft.errors import EngineLostError, TFTError
from tft.library import split_revision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.ports import Generation, Sampling, Scores, TopLogprobs
    from tft.records import Message
    from tft.tutor import TutorRef


class ReachedEngine:
    """Passes every call on to the worker; what only needs the tokenizer is done here.

    Args:
        tutor: names the worker.
    """

    guided = True
    counts_exactly = True
    concurrent = True

    def __init__(self, tutor: TutorRef) -> None:
        self._tutor = tutor
        self.steps = 0

    def _call(self, method: str, *arguments: Any) -> Any:
        self.steps += 1
        answer = self._find().answer.options(concurrency_group=ANSWERS if self._tutor.engine.type == "vllm" else None)
        try:
            return ray.get(answer.remote(self._tutor_there, method, arguments, torch.get_num_threads()))
        except RayTaskError as error:
            if isinstance(error.cause, EngineLostError):
                raise TutorLostError(str(error.cause)) from error
            raise (error.cause if isinstance(error.cause, TFTError) else error) from None
        except DEATHS as error:
            raise TutorLostError(tell_death(error)) from error

    def _find(self) -> Any:
        """Find the worker by its name, every time: one that died has a successor, which the driver starts."""
        try:
            return ray.get_actor(self._tutor.actor_path, namespace=NAMESPACE)
        except ValueError as error:
            raise TutorLostError("it died, and nobody has its name yet") from error

    @cached_property
    def _tutor_there(self) -> TutorRef:
        return replace(self._tutor, actor_path=None)

    @property
    def fingerprint(self) -> str:
        """Names the weights."""
        return self._tutor.fingerprint

    @property
    def context(self) -> int | None:
        """Whoever runs it refuses what is longer than it takes."""
        return None

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        from transformers import AutoTokenizer

        name, revision = split_revision(self._tutor.model_path)
        return AutoTokenizer.from_pretrained(name, revision=revision or "main")

    @cached_property
    def encode(self) -> PromptEncoder:
        """Write conversations as tokens, ready for the answer."""
        return PromptEncoder(self.tokenizer, self._tutor.engine.template)

    def count(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        """Count the tokens of each conversation."""
        return list(map(len, self.encode(prompts)))

    def generate(
        self, prompts: Sequence[Sequence[Message]], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Generation]:
        """Answer every conversation, in the order they came."""
        answers: list[Generation] = self._call("generate", prompts, sampling, seeds)
        return answers

    def score(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[Scores]:
        """Give the log-probabilities of each completion's tokens."""
        end = self.encode.end_of_answer
        return score_answers(self.tokenizer, self.encode(prompts), completions, end, self.logprobs)

    def logprobs(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Give the log-probabilities of all tokens of rows but the first."""
        found: list[list[float]] = self._call("logprobs", rows)
        return found

    def top_logprobs(
        self, rows: Sequence[Sequence[int]], starts: Sequence[int], k: int | None = None
    ) -> list[TopLogprobs]:
        """Give the likeliest tokens at the places of rows from a start on."""
        found: list[TopLogprobs] = self._call("top_logprobs", rows, starts, k)
        return found
