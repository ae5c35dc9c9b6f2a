"""What a campaign will need at most: tutor tokens, examined items, memory. Upper bounds, and called so.

Left out on purpose: time, which depends on the machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from tft.config.campaign import LESSONS_A_BATCH, CampaignConfig
from tft.errors import PrerequisiteError, Problem
from tft.tutor.allowance import cost_of
from tft.tutor.prompts import compile_prompt, find_prompt, read_prompt
from tft.tutor.values import longest_values, roles_asked
from tft.validation.content import engine_of
from tft.validation.machine import Lengths, estimate_memory
from tft.validation.plugged import is_judged_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tft.config import TutorCard
    from tft.config.campaign import Price, TuitionConfig
    from tft.config.cards import Role
    from tft.validation.content import Content
    from tft.validation.draft import Draft
    from tft.validation.models import Use

_TEMPLATE = 32
"""Tokens that a chat template puts around a question, at most."""
_WRITERS: tuple[Role, ...] = ("author", "demonstrator")
"""Roles that are asked for a batch of lessons at once."""
_ASSUMES = (
    "every question the tutor writes can be used, and nobody masters anything; a token counts as one character of "
    "a prompt. Questions that are refused cost more, mastery costs less; the budget ends it"
)


@dataclass(frozen=True, slots=True)
class _Use:
    """What calls may use."""

    prompt: int
    completion: int
    requests: int

    @property
    def tokens(self) -> int:
        return self.prompt + self.completion

    def cost(self, price: Price | None) -> float:
        return 0.0 if price is None else cost_of(self.prompt, self.completion, price)

    def __add__(self, other: _Use) -> _Use:
        return _Use(self.prompt + other.prompt, self.completion + other.completion, self.requests + other.requests)

    def __mul__(self, times: int) -> _Use:
        return _Use(self.prompt * times, self.completion * times, self.requests * times)


def estimate(
    draft: Draft, content: Content, uses: list[Use], share: float, problems: list[Problem], warnings: list[Problem]
) -> dict[str, Any]:
    """Estimate what a campaign needs, and check its purse against one batch of lessons; null where it is unknown.

    Args:
        draft: the config.
        content: what its names led to.
        uses: models, and where they lie.
        share: of a GPU that each student has.
        problems: gets what cannot work.
        warnings: gets what may not.
    """
    worst = _worst_requests(content, draft.config.tuition, problems)
    tokens = None if worst is None else _calls(draft, content, worst, problems)
    if worst is not None and not worst.keys().isdisjoint(_WRITERS):
        _check_pace(draft, content, problems)
    folders = {use.who: use.folder for use in uses}
    lengths = None if worst is None else _lengths(draft.config, content, worst)
    return {
        "tutor_tokens": tokens,
        "items_examined": _examined(draft.config, content) if draft.whole and content.held else None,
        "memory_bytes": estimate_memory(draft, folders, lengths, share, problems, warnings),
    }


def _lengths(config: CampaignConfig, content: Content, worst: dict[Role, _Use]) -> Lengths:
    """Give the longest rows there can be: a question and its work, or a criticism with what was asked for it."""
    asked = max(len(it.question) for held in content.held.values() for it in held) + _TEMPLATE
    work = max(config.exams.max_tokens, worst["demonstrator"].completion if "demonstrator" in worst else 0)
    row, learned = asked + work, work
    if "critic" in worst:
        said = worst["critic"]
        row, learned = max(row, said.prompt + _TEMPLATE + said.completion), max(learned, said.completion)
    return Lengths(row, learned, asked + config.exams.max_tokens)


def _worst_requests(content: Content, tuition: TuitionConfig, problems: list[Problem]) -> dict[Role, _Use] | None:
    """Count the tokens one request of each role may use, as the tutor itself counts them before it is asked."""
    card, items = content.tutor, [it for held in content.held.values() for it in held]
    if card is None or not items:
        return None
    question = max((item.question for item in items), key=len)
    marker = content.curriculum.grader.marker if content.curriculum is not None else None
    judged = is_judged_in(content.curriculum, tuition)
    longest = longest_values(content.skills, question, card.longest_attempt, marker)
    values = {role: longest[role] for role in roles_asked(tuition, card, judged=judged)}
    worst = {role: _worst_request(card, role, values[role], content.tutor_folders, problems) for role in values}
    known = {role: use for role, use in worst.items() if use is not None}
    return known if len(known) == len(values) else None


def _worst_request(
    card: TutorCard, role: Role, values: Mapping[str, Any], folders: Sequence[Path], problems: list[Problem]
) -> _Use | None:
    if role not in card.roles:
        return None
    tokens = 0
    for name in (card.roles[role].prompt, card.roles[role].system):
        if name is None:
            continue
        path = find_prompt(folders, name)
        try:
            tokens += len(compile_prompt(read_prompt(folders, name)).render(**values))
        except PrerequisiteError:
            return None
        except TemplateError as error:
            remedy = f"a prompt of the {role} may use {', '.join(values)}"
            problems.append(Problem(f"is not a template that works: {error}", str(path), role, remedy=remedy))
            return None
    return _Use(tokens, card.roles[role].max_tokens, 1)


def _on_own_answers(config: CampaignConfig, content: Content, worst: dict[Role, _Use]) -> _Use:
    """Estimate what critiques of a skill and cycle may take, judgements, and probabilities for students' own tokens."""
    lessons, methods = config.tuition.lessons * len(config.students), config.tuition.methods
    share = {"critique": 1.0, "auto": config.tuition.critiques}.get(methods, 0.0)
    used = worst["critic"] * round(lessons * share) if share else _Use(0, 0, 0)
    if "judge" in worst:
        pairs = config.tuition.second_opinion * len(config.students) if methods == "practice" else lessons
        used += worst["judge"] * (2 * pairs)
    if methods != "feedback":
        return used
    question = max((len(it.question) for held in content.held.values() for it in held), default=0)
    passes = config.training.objectives.feedback.epochs or 1
    return used + _Use(question + _TEMPLATE, config.exams.max_tokens, 1) * (lessons * passes)


def _calls(draft: Draft, content: Content, worst: dict[Role, _Use], problems: list[Problem]) -> dict[str, Any]:
    """Estimate tokens, requests and money, and refuse a limit that one batch of lessons may pass."""
    config = draft.config
    lesson = sum((worst[role] for role in _WRITERS if role in worst), _Use(0, 0, 0))
    batch = lesson * LESSONS_A_BATCH
    taught = sum(skill.role == "taught" for skill in content.skills.values())
    batches = math.ceil(config.tuition.lessons / LESSONS_A_BATCH)
    cycle = (batch * batches + _on_own_answers(config, content, worst)) * taught
    whole = cycle * config.tuition.cycles
    price = config.tutor.price or (content.tutor.price if content.tutor is not None else None)
    limits: list[tuple[str, float | None, float, float]] = [
        ("tutor_tokens", config.budget.tutor_tokens, batch.tokens, whole.tokens),
        ("tutor_requests", config.budget.tutor_requests, batch.requests, whole.requests),
        ("money", config.budget.money, batch.cost(price), whole.cost(price)),
    ]
    for name, limit, least, _ in limits:
        if limit is not None and limit < least:
            remedy = f"one batch of {LESSONS_A_BATCH} lessons may take {least:g}: give it at least that much"
            message = "is less than one batch of lessons may take, so nothing could be taught"
            problems.append(Problem(message, draft.file, f"budget.{name}", str(limit), remedy))
    if config.budget.money is not None and price is None:
        remedy = "write tutor: {use: …, price: {prompt: …, completion: …}}, for a million tokens each"
        message = "limits the cost of a tutor whose price nobody knows"
        problems.append(Problem(message, draft.file, "budget.money", str(config.budget.money), remedy))
    most = {name: most if limit is None else min(most, limit) for name, limit, _, most in limits}
    return {
        "one_batch_at_most": batch.tokens,
        "cycle_at_most": cycle.tokens,
        "campaign_at_most": most["tutor_tokens"],
        "limit": config.budget.tutor_tokens,
        "requests_at_most": most["tutor_requests"],
        "price_at_most": None if price is None else most["money"],
        "assumes": _ASSUMES,
    }


def _check_pace(draft: Draft, content: Content, problems: list[Problem]) -> None:
    """Refuse so few requests a minute that one batch of lessons is not answered before the deadline."""
    engine = engine_of(draft, content)
    if engine is None or engine.type != "endpoint" or engine.requests_per_minute is None:
        return
    minutes = LESSONS_A_BATCH / engine.requests_per_minute
    if 60 * minutes > engine.deadline:
        message = f"are too few for a batch of {LESSONS_A_BATCH} lessons within engine.deadline, {engine.deadline:g} s"
        enough = math.ceil(60 * LESSONS_A_BATCH / engine.deadline)
        remedy = f"take {enough} or more, or a deadline of {math.ceil(60 * minutes)}"
        key = "tutor.engine.requests_per_minute"
        problems.append(Problem(message, draft.file, key, f"{engine.requests_per_minute:g}", remedy))


def _examined(config: CampaignConfig, content: Content) -> dict[str, int]:
    sizes = {split: len(items) for split, items in content.held.items()}
    whole = sum(suite["items"] or 0 for suite in content.suites.values())
    read = sizes["check"] + sum(suite.get("watched") or 0 for suite in content.suites.values())
    cycle = sizes["probe"] + read
    student = config.tuition.cycles * cycle + read + 2 * (sizes["final"] + whole)
    return {"student_and_cycle": cycle, "campaign_at_most": student * len(config.students)}
