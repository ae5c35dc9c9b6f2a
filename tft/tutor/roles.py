"""A tutor in its roles: it is asked with a template and answers in a form that can be checked.

An answer that was cut off, or does not have the form its role demands, is no answer: it comes back as None, and
the text is kept so that somebody can look at it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from tft import plugins
from tft.config.cards import Role, TutorCard
from tft.config.reading import closest, read_config
from tft.errors import BudgetError, PrerequisiteError, Problem, UserError
from tft.ports import Engine, Generation, Sampling
from tft.records import Message, Usage, digest, dump
from tft.tutor.cache import AnswerCache

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class TutorRef:
    """All it takes to open a tutor anywhere."""

    card_path: str
    """Path of its ``tutor.yaml``."""
    model_path: str
    """Folder or hub name of its model."""
    fingerprint: str
    """Names the weights."""
    engine: str
    """Name of the engine."""
    batch_size: int
    cache_path: str
    """Folder of the answer cache."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a tutor answered to one batch of requests."""

    fields: list[dict[str, str] | None]
    """The named parts of each answer; None where it has not the form its role demands."""
    texts: list[str]
    """The answers as they came."""
    usage: Usage
    key: str
    """Key of the call."""


class Tutor:
    """One model in several roles.

    Args:
        card: its card.
        folder: where the card lies.
        engine: runs its model.
        cache: keeps its answers.
    """

    def __init__(self, card: TutorCard, folder: Path, engine: Engine, cache: AnswerCache) -> None:
        self.card = card
        self._engine = engine
        self._cache = cache
        environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=False)
        self._sources = {role: _read(folder / "prompts" / it.prompt) for role, it in card.roles.items()}
        self._templates = {role: environment.from_string(source) for role, source in self._sources.items()}

    @property
    def fingerprint(self) -> str:
        """Names the weights and the way they are run."""
        return self._engine.fingerprint

    def version(self, role: Role) -> str:
        """Name the version of a prompt: a digest of its text, the form of its answer and its sampling."""
        return digest([self._sources[role], dump(self.card.roles[role].model_dump(mode="json"))])[:12]

    def render(self, role: Role, values: Mapping[str, Any]) -> str:
        """Write the user's turn of a request."""
        if role not in self._templates:
            known = closest(role, self._templates)
            raise UserError(Problem(f"the tutor {self.card.tutor} does not take this role", value=role, remedy=known))
        return self._templates[role].render(**values)

    def ask(
        self, role: Role, requests: Sequence[Mapping[str, Any]], seed: int = 0, allowance: int | None = None
    ) -> Answers:
        """Put requests to the tutor in one of its roles.

        Args:
            role: which role.
            requests: values for the template, one a request.
            seed: decides what is sampled.
            allowance: tokens this call may use at most.

        Raises:
            BudgetError: if the call could use more than it is allowed; nothing was asked.
        """
        if not requests:
            return Answers([], [], Usage(), "")
        card = self.card.roles[role]
        prompts = [(Message("user", self.render(role, values)),) for values in requests]
        sampling = Sampling(card.max_tokens, card.temperature, seed)
        key = digest([self.fingerprint, [prompt[0].content for prompt in prompts], dump(sampling)])
        # Before the cache is asked: what it holds must not decide how far a budget reaches.
        worst = self._engine.count(prompts) + len(prompts) * card.max_tokens
        if allowance is not None and worst > allowance:
            raise BudgetError(f"{len(prompts)} requests may use {worst} tokens, {allowance} are left")
        found = self._cache.get(key)
        if found is None:
            answers = self._engine.generate(prompts, sampling)
            self._cache.put(key, answers)
        else:
            answers = found
        return Answers(
            fields=[read_answer(card.answer, answer) for answer in answers],
            texts=[answer.text for answer in answers],
            usage=_usage(answers, cached=found is not None),
            key=key,
        )

    def score(self, questions: Sequence[str], answers: Sequence[str]) -> tuple[list[tuple[float, ...]], Usage]:
        """Score answers token by token, in nats, as the tutor would have given them to a plain question."""
        prompts = [(Message("user", self.render("demonstrator", {"question": question})),) for question in questions]
        scores = self._engine.score(prompts, answers)
        usage = Usage(scored=sum(len(score.tokens) for score in scores), requests=len(prompts))
        return [score.logprobs for score in scores], usage


def read_answer(form: str, answer: Generation) -> dict[str, str] | None:
    """Take an answer apart; None if it was cut off or does not have the form.

    >>> read_answer("(?P<winner>first|second)", Generation("first", 9, 6, True, -0.1))
    {'winner': 'first'}
    """
    match = re.fullmatch(form, answer.text.strip(), re.DOTALL) if answer.finished else None
    return None if match is None else match.groupdict()


@lru_cache(maxsize=2)
def open_tutor(tutor: TutorRef) -> Tutor:
    """Open a tutor, once a process."""
    card = Path(tutor.card_path)
    engine = plugins.load("tft.engines", tutor.engine).open(tutor.model_path, tutor.fingerprint, tutor.batch_size)
    return Tutor(read_config(TutorCard, card), card.parent, engine, AnswerCache(Path(tutor.cache_path)))


def _usage(answers: Sequence[Generation], *, cached: bool) -> Usage:
    prompt = sum(answer.prompt_tokens for answer in answers)
    completion = sum(answer.tokens for answer in answers)
    return Usage(prompt, completion, 0, prompt + completion if cached else 0, len(answers))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PrerequisiteError(f"the prompt {path} of this tutor cannot be read: {error}") from error
