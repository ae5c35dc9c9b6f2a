"""What became of a config's names and what a campaign will need, in lines for people; ``--json`` has all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tft.validation.memory import told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ROLES = {"taught": "teaches", "retention": "keeps", "stretch": "only examines"}


def tell(resolved: Mapping[str, Any], needed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give lines: what each is about, and what is to be said of it.

    Args:
        resolved: what the names became.
        needed: what the campaign needs at most.
    """
    yield "config", str(resolved["config"])
    if "continue_from" in resolved:
        yield "continues", str(resolved["continue_from"])
    tutor = resolved["tutor"]
    model = tutor["model"]
    where = _place(model) if model is not None else "a model that its endpoint knows"
    yield "tutor", f"{tutor['card']}, on {tutor['engine']}: {where}"
    memory = needed.get("memory_bytes") or {}
    for student, model in resolved["students"].items():
        use = (memory.get("students") or {}).get(student)
        yield "student", f"{student}: {_place(model)}; to train it takes {_size(use['total'] if use else None)}"
    yield from _curriculum(resolved)
    yield from _exams(resolved)
    for name, found in resolved["material"].items():
        dropped = sum((found.get("rejected") or {}).values())
        rows = f"; {found['lessons']:,} lessons, {dropped:,} rows dropped" if "lessons" in found else ""
        first = f", the first: {found['first_rejected']}" if dropped else ""
        yield "material", f"{name}: {found['looked_at']}{rows}{first}"
    yield from _needs(needed)
    free = memory.get("free")
    if free is not None:
        yield "memory", f"{_size(free)} are free of {_size(memory.get('machine'))}"
        yield "", f"assumed: {memory['assumes']}"
    yield "runs on", str(resolved["placement"])
    yield "writes to", str(resolved["run_directory"])


def _place(model: Mapping[str, Any] | None) -> str:
    if model is None:
        return "not known"
    there = "" if model["reached"] else ", which was not reached"
    return f"{model['address'] or model['name']}{' on the hub' if model['kind'] == 'hub' else ''}{there}"


def _curriculum(resolved: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    curriculum = resolved["curriculum"]
    if curriculum is None:
        return
    by_role: dict[str, list[str]] = {}
    for skill, role in curriculum["skills"].items():
        by_role.setdefault(role, []).append(skill)
    does = [f"{word} {', '.join(by_role[role])}" for role, word in _ROLES.items() if role in by_role]
    yield "curriculum", f"{curriculum['card']} {'; '.join(does)}"


def _exams(resolved: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for split, shown in resolved["intervals"].items():
        yield "exam", f"{split}, {'a skill' if split != 'watched' else 'of each whole exam'}: {shown}"
    for name, found in resolved["suites"].items():
        if found.get("items") is None:
            yield "whole exam", f"{name}: not read: {found['reason']}"
            continue
        dropped = sum((found.get("rejected") or {}).values())
        left = f", {dropped:,} dropped, the first: {found['first_rejected']}" if dropped else ""
        apart = f", {found['watched']:,} more are watched" if found.get("watched") else ""
        unwatched = f"; none is watched: {found['unwatched']}" if found.get("unwatched") else ""
        yield "whole exam", f"{name}: {found['items']:,} items, graded by {found['grader']}{apart}{left}{unwatched}"
    for who, model in {"examiner": resolved["examiner"], **resolved["judges"]}.items():
        if model is not None:
            yield "judge", f"{who}: {_place(model)}"


def _needs(needed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    tokens, items = needed.get("tutor_tokens"), needed.get("items_examined")
    if tokens is None:
        yield "tokens", "what the tutor may use is not known: its prompts or the items cannot be read"
    else:
        limit = f", the limit is {tokens['limit']:,}" if tokens["limit"] is not None else ", without a limit"
        price = f", at a price of {tokens['price_at_most']:,.2f}" if tokens["price_at_most"] is not None else ""
        yield "tokens", (f"at most {tokens['cycle_at_most']:,} of the tutor a cycle and {tokens['campaign_at_most']:,} "
                         f"in all{limit}; {tokens['requests_at_most']:,} requests{price}")  # fmt: skip
        yield "", f"assumed: {tokens['assumes']}"
    if items is not None:
        cycle, campaign = items["student_and_cycle"], items["campaign_at_most"]
        yield "answers", f"{cycle:,} a student and cycle are graded in exams, at most {campaign:,} in all"


def _size(size: int | None) -> str:
    return "what is not known" if size is None else told(size)
