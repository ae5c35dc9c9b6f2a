"""What a campaign will need at most: tutor tokens, examined items, memory. Upper bounds, and called so.

Left out on purpose: time, which depends on the machine, and the memory of activations, which depends on lengths.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from tft.config.campaign import LESSONS_A_BATCH, CampaignConfig, LoraAdapter
from tft.errors import Problem
from tft.tutor.values import longest_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tft.config import TutorCard
    from tft.config.cards import Role
    from tft.validation.content import Content
    from tft.validation.draft import Draft
    from tft.validation.models import Use

_BYTES = 4
"""A weight in float32."""
_TRAINED = 4
"""Weight, gradient and two moments of the optimiser, for every weight that is trained."""
_ASSUMES = (
    "every question the tutor writes can be used, and nobody masters anything; a token counts as one character of "
    "a prompt. Questions that are refused cost more, mastery costs less; budget.tutor_tokens ends it"
)


def estimate(draft: Draft, content: Content, uses: list[Use], problems: list[Problem]) -> dict[str, Any]:
    """Estimate what a campaign needs, and check its purse against one batch of lessons; null where it is unknown."""
    worst = _worst_requests(content, problems)
    tokens = None if worst is None else _tokens(draft, content, worst, problems)
    folders = {use.who: use.folder for use in uses}
    students = draft.config.students if draft.whole else ()
    return {
        "tutor_tokens": tokens,
        "items_examined": _examined(draft.config, content) if draft.whole and content.held else None,
        "memory_bytes": {
            "tutor": _weights(folders.get("tutor"), 1),
            "students": {
                student.id: _weights(
                    folders.get(f"students.{place}.model"), 1 if isinstance(student.adapter, LoraAdapter) else _TRAINED
                )
                for place, student in enumerate(students)
            },
            "machine": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "assumes": "float32; full training keeps gradients and two moments a weight; activations come on top",
        },
    }


def _worst_requests(content: Content, problems: list[Problem]) -> dict[Role, int] | None:
    """Count the tokens one request of each role may use, as the tutor itself counts them before it is asked."""
    card, path, items = content.tutor, content.tutor_path, [it for held in content.held.values() for it in held]
    if card is None or path is None or not items:
        return None
    question = max((item.question for item in items), key=len)
    marker = content.curriculum.grader.marker if content.curriculum is not None else None
    values = longest_values(content.skills, question, card.longest_attempt, marker)
    worst = {role: _worst_request(card, role, values[role], path.parent, problems) for role in values}
    known = {role: tokens for role, tokens in worst.items() if tokens is not None}
    return known if len(known) == len(values) else None


def _worst_request(
    card: TutorCard, role: Role, values: Mapping[str, Any], folder: Path, problems: list[Problem]
) -> int | None:
    if role not in card.roles:
        return None
    environment = SandboxedEnvironment(undefined=StrictUndefined)
    tokens = card.roles[role].max_tokens
    for name in (card.roles[role].prompt, card.roles[role].system):
        if name is None:
            continue
        path = folder / "prompts" / name
        try:
            tokens += len(environment.from_string(path.read_text(encoding="utf-8")).render(**values))
        except (OSError, UnicodeDecodeError):
            return None
        except TemplateError as error:
            remedy = f"a prompt of the {role} may use {', '.join(values)}"
            problems.append(Problem(f"is not a template that works: {error}", str(path), role, remedy=remedy))
            return None
    return tokens


def _tokens(draft: Draft, content: Content, worst: dict[Role, int], problems: list[Problem]) -> dict[str, Any]:
    config = draft.config
    lesson = worst["author"] + worst["demonstrator"]
    batch = LESSONS_A_BATCH * lesson
    limit = config.budget.tutor_tokens
    if limit is not None and limit < batch:
        remedy = f"one batch of {LESSONS_A_BATCH} lessons may take {batch} tokens: give it at least that many"
        message = "is less than one batch of lessons may take, so nothing could be taught"
        problems.append(Problem(message, draft.file, "budget.tutor_tokens", str(limit), remedy))
    taught = sum(skill.role == "taught" for skill in content.skills.values())
    batches = math.ceil(config.tuition.lessons / LESSONS_A_BATCH)
    share = {"critique": 1.0, "demonstration": 0.0}.get(config.tuition.methods, config.tuition.critiques)
    critiques = round(config.tuition.lessons * share) * worst["critic"] * len(config.students)
    cycle = taught * (batches * batch + critiques)
    total = cycle * config.tuition.cycles
    price = content.tutor.price_per_million_tokens if content.tutor is not None else None
    most = total if limit is None else min(total, limit)
    return {
        "one_batch_at_most": batch,
        "cycle_at_most": cycle,
        "campaign_at_most": most,
        "limit": limit,
        "price_at_most": None if price is None else most / 1_000_000 * price,
        "assumes": _ASSUMES,
    }


def _examined(config: CampaignConfig, content: Content) -> dict[str, int]:
    sizes = {split: len(items) for split, items in content.held.items()}
    whole = sum(suite["items"] or 0 for suite in content.suites.values())
    cycle = sizes["probe"] + sizes["check"]
    student = config.tuition.cycles * cycle + sizes["check"] + 2 * (sizes["final"] + whole)
    return {"student_and_cycle": cycle, "campaign_at_most": student * len(config.students)}


def _weights(folder: str | None, factor: int) -> int | None:
    """Count the bytes of a model's weights in float32, times what training keeps for each; None if unknown."""
    paths = sorted(Path(folder).glob("*.safetensors")) if folder is not None else []
    counts = [_count(path) for path in paths]
    return None if not counts or None in counts else sum(filter(None, counts)) * _BYTES * factor


def _count(path: Path) -> int | None:
    """Count the weights of a safetensors file from its header; None where it is none."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(size, path.stat().st_size)))
        return sum(int(math.prod(entry["shape"])) for name, entry in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
