"""A tutor in its roles: it is asked with a template and answers in a form that can be checked.

An answer without the form its role demands is asked for again as often as the card allows, with what was wrong
with it. What is still none then comes back as None, and the text is kept so that somebody can look at it.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tft import plugins
from tft.config.campaign import EngineConfig
from tft.config.reading import closest
from tft.engines.encoding import row_seeds
from tft.errors import BudgetError, Problem, UserError
from tft.forms import Read, ask_again
from tft.library import read_tutor
from tft.ports import Engine, Generation, RowEngine, Sampling
from tft.records import Message, Usage, digest, dump
from tft.tutor.allowance import NO_LIMIT, Allowance
from tft.tutor.cache import AnswerCache
from tft.tutor.forms import read_answer
from tft.tutor.prompts import compile_prompt, read_prompt

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tft.config.cards import Role, TutorCard

_TOO_LONG = Read(None, "too_long", "prompt and answer would not fit into the context")


@dataclass(frozen=True, slots=True)
class TutorRef:
    """All it takes to open a tutor anywhere."""

    card_path: str
    """Path of its ``tutor.yaml``."""
    model_path: str
    """Folder or hub name of its model."""
    fingerprint: str
    """Names the weights."""
    engine: EngineConfig
    """How it is run."""
    cache_path: str
    """Folder of the answer cache."""
    weights_path: str | None = None
    """Folder of the weights that should answer, where they lie here and something else runs them."""
    actor_path: str | None = None
    """Name of the worker that runs it, where it is not opened but reached."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a tutor answered to one batch of requests."""

    fields: list[dict[str, str] | None]
    """The named parts of each answer; None where it has not the form its role demands."""
    texts: list[str]
    """The answers as they came."""
    reasons: list[str]
    """Why there are no parts, in a word; empty where there are some."""
    usage: Usage
    key: str
    """Key of the call."""


class Tutor:
    """One model in several roles.

    Args:
        card: its card.
        folders: where the card lies, and those it extends; each may have prompts.
        engine: runs its model.
        cache: keeps its answers.
    """

    def __init__(self, card: TutorCard, folders: Sequence[Path], engine: Engine, cache: AnswerCache) -> None:
        self.card = card
        self.engine = engine
        self._cache = cache
        self._sources = {
            role: [read_prompt(folders, name) for name in (it.prompt, it.system) if name is not None]
            for role, it in card.roles.items()
        }
        self._templates = {
            role: [compile_prompt(source) for source in sources] for role, sources in self._sources.items()
        }

    @property
    def fingerprint(self) -> str:
        """Names the weights and the way they are run."""
        return self.engine.fingerprint

    def version(self, role: Role) -> str:
        """Name the version of a prompt: a digest of its text, the form of its answer and its sampling."""
        return digest([self._sources[role], self.card.roles[role].model_dump(mode="json")])[:12]

    def render(self, role: Role, values: Mapping[str, Any]) -> str:
        """Write the user's turn of a request."""
        return self.conversation(role, values)[-1].content

    def conversation(self, role: Role, values: Mapping[str, Any]) -> tuple[Message, ...]:
        """Write a request: the system's turn if the role has one, and the user's."""
        if role not in self._templates:
            known = closest(role, self._templates)
            raise UserError(Problem(f"the tutor {self.card.tutor} does not take this role", value=role, remedy=known))
        user, *system = [template.render(**values) for template in self._templates[role]]
        return (*(Message("system", text) for text in system), Message("user", user))

    def ask(
        self, role: Role, requests: Sequence[Mapping[str, Any]], seed: int = 0, allowance: Allowance = NO_LIMIT
    ) -> Answers:
        """Put requests to the tutor in one of its roles.

        Args:
            role: which role.
            requests: values for the template, one a request.
            seed: decides what is sampled.
            allowance: what may be spent, repairs included.

        Raises:
            BudgetError: if the call could use more than it is allowed; nothing was asked.
        """
        if not requests:
            return Answers([], [], [], Usage(), "")
        card = self.card.roles[role]
        whole = [self.conversation(role, values) for values in requests]
        sampling = Sampling(card.max_tokens, card.temperature, seed, schema=card.answer_schema)
        room = sys.maxsize if self.engine.context is None else self.engine.context - sampling.max_tokens
        short = self._fitting(whole, room)
        prompts = [whole[place] for place in short]
        answers, usage, key = self._call(prompts, sampling, allowance) if prompts else ([], Usage(), "")
        read = [read_answer(card, answer) for answer in answers]
        for repair in range(card.repairs):
            # What was cut off would be cut off again.
            bad = [place for place, it in enumerate(read) if it.fields is None and answers[place].finished]
            again = [ask_again(prompts[place], answers[place], read[place]) for place in bad]
            fitting = self._fitting(again, room)
            bad, again = [bad[it] for it in fitting], [again[it] for it in fitting]
            left = allowance.after(usage)
            if not bad or self._refusal(again, sampling, left) is not None:
                break
            mended, more, _ = self._call(again, replace(sampling, seed=seed + repair + 1), left)
            usage += more
            for place, answer in zip(bad, mended, strict=True):
                answers[place], read[place] = answer, read_answer(card, answer)
        found = dict(zip(short, zip(read, (answer.text for answer in answers), strict=True), strict=True))
        rows = [found.get(place, (_TOO_LONG, "")) for place in range(len(whole))]
        return Answers(
            fields=[it.fields for it, _ in rows],
            texts=[text for _, text in rows],
            reasons=[it.reason for it, _ in rows],
            usage=usage,
            key=key,
        )

    def _fitting(self, prompts: Sequence[tuple[Message, ...]], room: int) -> list[int]:
        """Give the places of those that have no more tokens than there is room for."""
        return [place for place, tokens in enumerate(self.engine.count(prompts)) if tokens <= room]

    def _call(
        self, prompts: Sequence[tuple[Message, ...]], sampling: Sampling, allowance: Allowance
    ) -> tuple[list[Generation], Usage, str]:
        """Ask the cache, then the engine; give what they answered, what it cost, and the key it is kept by."""
        # Before the cache is asked: what it holds must not decide how far a budget reaches.
        refusal = self._refusal(prompts, sampling, allowance)
        if refusal is not None:
            raise BudgetError(refusal)
        key = digest([self.fingerprint, dump(list(prompts)), dump(sampling)])
        found = self._cache.get(key)
        if found is not None:
            return found, _usage(found, cached=True), key
        answers, usage = self._answer(key, prompts, sampling)
        self._cache.put(key, answers)
        return answers, usage, key

    def _answer(
        self, key: str, prompts: Sequence[tuple[Message, ...]], sampling: Sampling
    ) -> tuple[list[Generation], Usage]:
        """Ask the engine; what is answered row by row is kept at once, and only the rest of such a batch is asked."""
        if not isinstance(self.engine, RowEngine):
            answers = self.engine.generate(prompts, sampling)
            return answers, _usage(answers, cached=False)
        kept = self._cache.rows(key)
        new: dict[int, Generation] = {}
        seeds = row_seeds(sampling, None, len(prompts))
        left = [place for place in range(len(prompts)) if place not in kept]
        keeping = True
        came = self.engine.answers([prompts[it] for it in left], sampling, [seeds[it] for it in left])
        for at, answer in came:
            new[left[at]] = answer
            # Once in vain is enough: whoever locks the cache is waited for every time.
            keeping = keeping and self._cache.put_row(key, left[at], answer)
        whole = kept | new
        usage = _usage(kept.values(), cached=True) + _usage(new.values(), cached=False)
        return [whole[place] for place in range(len(prompts))], usage

    def _refusal(self, prompts: Sequence[Sequence[Message]], sampling: Sampling, allowance: Allowance) -> str | None:
        return allowance.refusal(sum(self.engine.count(prompts)), len(prompts) * sampling.max_tokens, len(prompts))

    def reach(self, role: Role, requests: Sequence[Mapping[str, Any]], allowance: Allowance) -> int:
        """Say how many requests, from the first, can be paid for however long their answers are."""
        if allowance.endless:
            # Nothing need be counted.
            return len(requests)
        longest = self.card.roles[role].max_tokens
        sums = accumulate(self.engine.count([self.conversation(role, values) for values in requests]))
        affordable = (allowance.refusal(prompt, n * longest, n) is None for n, prompt in enumerate(sums, start=1))
        return sum(takewhile(bool, affordable))

    def score(self, questions: Sequence[str], answers: Sequence[str]) -> tuple[list[tuple[float, ...]], Usage]:
        """Score answers token by token, in nats, as the tutor would have given them to a plain question."""
        prompts = [(Message("user", question),) for question in questions]
        scores = self.engine.score(prompts, answers)
        usage = Usage(scored=sum(len(score.tokens) for score in scores), requests=len(prompts))
        return [score.logprobs for score in scores], usage


def open_engine(tutor: TutorRef) -> Engine:
    """Open the engine of a tutor, without its prompts and its cache."""
    if tutor.actor_path is not None:
        reached: Engine = plugins.load("tft.engines", "actor")(tutor)
        return reached
    opened: Engine = plugins.load("tft.engines", tutor.engine.type).open(
        tutor.model_path, tutor.fingerprint, tutor.engine
    )
    return opened


_OPENING = threading.Lock()


def open_tutor(tutor: TutorRef) -> Tutor:
    """Open a tutor, once a process; a thread that wants it meanwhile waits."""
    with _OPENING:
        return _opened(tutor)


@lru_cache(maxsize=2)
def _opened(tutor: TutorRef) -> Tutor:
    card, folders = read_tutor(Path(tutor.card_path))
    return Tutor(card, folders, open_engine(tutor), AnswerCache(Path(tutor.cache_path)))


def _usage(answers: Collection[Generation], *, cached: bool) -> Usage:
    prompt = sum(answer.prompt_tokens for answer in answers)
    completion = sum(answer.tokens for answer in answers)
    return Usage(prompt, completion, 0, prompt + completion if cached else 0, len(answers))
