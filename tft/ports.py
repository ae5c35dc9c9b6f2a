"""The protocols that rooms meet through; every implementation passes the contract suite of its protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from tft.records import Item, Message, Verdict

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an engine chooses tokens."""

    max_tokens: int
    temperature: float = 0.0
    """0 is greedy."""
    seed: int = 0
    logprobs: bool = False
    """Whether the log-probability of an answer is wanted, where it costs something."""
    schema: dict[str, Any] | None = None
    """JSON schema of the answer, for engines that can hold a model to one; None where any text will do."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer of an engine."""

    text: str
    prompt_tokens: int
    tokens: int
    """Tokens written, the end included."""
    finished: bool
    """False where ``max_tokens`` cut it off, or, with no tokens, there was no room for any."""
    logprob: float | None
    """Sum of the log-probabilities of the tokens written, in nats, under the untempered model; None where the engine
    was not asked, or cannot say."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Log-probabilities of given tokens."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    """One a token, in nats."""


@dataclass(frozen=True, slots=True)
class TopLogprobs:
    """The likeliest tokens at N places of a row, K at each."""

    ids: npt.NDArray[np.int32]
    """[N, K]."""
    logprobs: npt.NDArray[np.float32]
    """[N, K], in nats. Where K is less than the vocabulary, the rest of the probability is with other tokens."""
    chosen: npt.NDArray[np.float32]
    """[N]: of the tokens that stand there, in nats."""


class Encoder(Protocol):
    """Writes conversations as a model reads them."""

    @property
    def end_of_answer(self) -> int | None:
        """The token that ends an answer; None where there is none."""

    def __call__(self, prompts: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Write conversations as tokens, ready for the answer."""


class Engine(Protocol):
    """Runs one model."""

    @property
    def fingerprint(self) -> str:
        """Names the weights and what else decides an answer: the same fingerprint, the same answers."""

    @property
    def counts_exactly(self) -> bool:
        """Whether ``count`` is exact, or an upper bound."""

    @property
    def guided(self) -> bool:
        """Whether it holds a model to the schema of a request."""

    @property
    def context(self) -> int | None:
        """Tokens that prompt and answer may have together; None where nobody here knows."""

    @property
    def concurrent(self) -> bool:
        """Whether calls of several threads run side by side; otherwise one thread may call it at a time."""

    @property
    def steps(self) -> int:
        """Steps it has done since it was opened: stands still where it is idle, or hangs."""

    def generate(
        self, prompts: Sequence[Sequence[Message]], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Generation]:
        """Answer every conversation, in the order they came.

        Args:
            prompts: the conversations.
            sampling: how tokens are chosen.
            seeds: one a conversation; None makes them of the seed of ``sampling`` and its place. An answer depends on
                its conversation and its seed, and not on what else is asked, but for the last bit of a sum.
        """

    def count(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        """Count the tokens of each conversation as ``generate`` would read it, template included; from any thread."""

    def score(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[Scores]:
        """Give the log-probabilities of each completion's tokens, its end included, after its prompt."""

    def logprobs(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Give the log-probabilities, in nats, of all tokens of rows but the first, each after those before it."""

    @property
    def tokenizer(self) -> Any | None:
        """The model's ``transformers`` tokenizer; None where it is not here."""

    @property
    def encode(self) -> Encoder:
        """Write conversations as tokens, ready for the answer; needs the tokenizer."""

    def top_logprobs(
        self, rows: Sequence[Sequence[int]], starts: Sequence[int], k: int | None = None
    ) -> list[TopLogprobs]:
        """Give the likeliest tokens at the places of rows from a start on, each after the tokens before it.

        Args:
            rows: tokens, prompt and answer together.
            starts: the first place of each row that is wanted, from 1.
            k: tokens a place, fewer where there are no more; None means all of the vocabulary.
        """


@runtime_checkable
class RowEngine(Protocol):
    """What an engine also does that answers each row by itself, so that one is worth keeping without the others."""

    def answers(
        self, prompts: Sequence[Sequence[Message]], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> Iterator[tuple[int, Generation]]:
        """Answer as ``generate`` does; give each answer with the place of its conversation, as they come."""


class Grader(Protocol):
    """Judges one attempt at an item."""

    def grade(self, item: Item, text: str) -> Verdict:
        """Grade an answer; a bad answer is a verdict, never an exception."""


class ItemSource(Protocol):
    """Where the items of a curriculum come from: a module beside its ``curriculum.yaml``."""

    def draw(self, skill: str, rng: random.Random) -> Iterator[str]:
        """Yield questions of a skill; a table of facts ends, anything else goes on."""

    def classify(self, question: str) -> tuple[str, int, str] | None:
        """Say which skill, level and answer a question has; None where it has none here."""

    def fingerprint(self, question: str) -> str:
        """Give the same text for all questions that ask the same."""


class Executor(Protocol):
    """Runs a stage somewhere: in this process, or in an actor of a cluster.

    A stage is a module-level function of records, so it can run anywhere and be run again.
    """

    async def run(
        self, place: str, stage: Callable[[Any], Result], request: Any, workers: int = 1
    ) -> tuple[Result, float]:
        """Run a stage at a named place; calls at one place run one after the other.

        Args:
            place: ``tutor`` or ``student/<id>``.
            stage: what to run.
            request: what it is given.
            workers: processes that run it at once, as one group of ``torch.distributed``; the result is that of the
                first.

        Returns:
            What the stage returned, and the seconds it was busy.
        """

    def reach(self, tutor: Any) -> Any:
        """Say how a stage that runs elsewhere than the tutor reaches it: a ``TutorRef`` for a ``TutorRef``."""

    async def close(self) -> None:
        """End everything this executor started."""
