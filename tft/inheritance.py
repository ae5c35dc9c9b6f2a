"""What a campaign takes over from the one it continues: checkpoints, lessons to read again, skills to be kept.

A skill of the earlier campaign that this one does not have is one to be kept: it is examined on the items that it was
examined on there, so that the two can be paired, and rehearsed. Nothing that was examined there is taught here, and
nothing that was taught there examines here; tables that are examined whole are the exception, as everywhere.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tft.config.campaign import StudentConfig
from tft.config.cards import GraderConfig, SkillCard
from tft.earlier import KEY, Earlier
from tft.errors import Problem, StageError, UserError
from tft.library import find_run
from tft.records import Inherited, Item, Lesson, Split, make_seed
from tft.student import StudentRef, read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from tft.config import CampaignConfig
    from tft.library import Library

_NOT_READ_AGAIN = ("replay", "practice")


@dataclass(frozen=True, slots=True)
class Origin:
    """The curriculum of a skill that is not in the campaign's own."""

    card_path: str
    items_path: str
    grader: GraderConfig


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What is taken over; empty for a campaign that continues none."""

    campaign: str = ""
    digest: str = ""
    students: dict[str, Inherited] = field(default_factory=dict)
    """By id: what each brings along."""
    skills: dict[str, SkillCard] = field(default_factory=dict)
    """To be kept; their role is retention."""
    curricula: dict[str, str] = field(default_factory=dict)
    """Of these skills: the name of each one's curriculum."""
    origins: dict[str, Origin] = field(default_factory=dict)
    """Of those among them that the campaign's own curriculum does not have."""
    items: dict[Split, tuple[Item, ...]] = field(default_factory=dict)
    """Of check and final."""
    examined_whole: tuple[str, ...] = ()
    held_out: frozenset[str] = frozenset()
    """Fingerprints of what was examined in the runs before."""
    taught: frozenset[str] = frozenset()
    """Fingerprints of what was taught in the runs before."""
    before: tuple[dict[str, Any], ...] = ()
    """What the runs before were taught from, the oldest first."""

    @property
    def worked(self) -> tuple[str, ...]:
        """The skills to be kept that are no tables: their answers are longer."""
        return tuple(skill for skill in self.skills if skill not in self.examined_whole)

    def graders(self) -> dict[str, GraderConfig]:
        """Give the graders of skills that the campaign's own does not judge."""
        return {skill: origin.grader for skill, origin in self.origins.items()}


def find_earlier(config: CampaignConfig, beside: Path | None) -> Earlier | None:
    """Open the run that a campaign continues; None where it continues none.

    Raises:
        UserError: if it is not there or not finished, or its students are no longer what they were.
    """
    if config.continue_from is None:
        return None
    earlier = Earlier(find_run(config.continue_from, KEY, beside))
    problems = []
    for place, student in enumerate(config.students):
        known = earlier.students.get(student.id)
        before = student if known is None else StudentConfig.model_validate(known)
        now, was = (it.model_dump(mode="json") for it in (student, before))
        for key in ("adapter", "chat_template", "template"):
            if now[key] != was[key]:
                remedy = (
                    "leave it out: a student goes on as it is. To begin another adapter, `tft export` the student and "
                    "name that folder as the model of a student with another id"
                )
                message = f"is not what {student.id} has in {earlier.campaign}"
                problems.append(Problem(message, key=f"students.{place}.{key}", value=str(now[key]), remedy=remedy))
    if problems:
        raise UserError(*problems)
    return earlier


def take_over(
    config: CampaignConfig, library: Library, earlier: Earlier | None, skills: Collection[str]
) -> Inheritance:
    """Take over what an earlier run leaves.

    Args:
        config: of the campaign that continues it.
        library: where curricula are looked up.
        earlier: the run; None for a campaign that continues none.
        skills: of the campaign.

    Raises:
        UserError: if the curriculum of a skill that is to be kept is gone.
    """
    if earlier is None:
        return Inheritance()
    told = [it for it in earlier.setting["skills"] if it["role"] != "stretch" and it["name"] not in skills]
    curricula: dict[str, str] = {it["name"]: it["curriculum"] for it in told}
    own, _ = library.curriculum(config.curriculum)
    origins: dict[str, Origin] = {}
    for skill, name in curricula.items():
        if name != own.curriculum:
            origins[skill] = _origin(skill, name, library)
        elif skill not in own.skills:
            raise UserError(_lost(skill, name))
    return Inheritance(
        campaign=earlier.campaign,
        digest=earlier.digest,
        students={
            it.id: _to_read_again(earlier.inherited(it.id), config, it.id)
            for it in config.students
            if it.id in earlier.students
        },
        skills={it["name"]: SkillCard(title=it["title"], role="retention") for it in told},
        curricula=curricula,
        origins=origins,
        items={split: tuple(it for it in items if it.skill in curricula) for split, items in earlier.exams.items()},
        examined_whole=tuple(it["name"] for it in told if it["examined_whole"]),
        held_out=earlier.held_out,
        taught=earlier.taught,
        before=earlier.before,
    )


def _origin(skill: str, curriculum: str, library: Library) -> Origin:
    try:
        path = library.find("curricula", curriculum)
        card, folder = library.curriculum(curriculum)
    except UserError:
        remedy = f"put the folder curricula/{curriculum} beside this config again"
        message = f"examined {skill} of a curriculum that is not here"
        raise UserError(Problem(message, key=KEY, value=curriculum, remedy=remedy)) from None
    if skill not in card.skills:
        raise UserError(_lost(skill, curriculum))
    return Origin(str(path), str((folder / card.items).resolve()), card.grader)


def _lost(skill: str, curriculum: str) -> Problem:
    message = f"examined {skill}, which its curriculum no longer has"
    return Problem(message, key=KEY, value=curriculum, remedy=f"put {skill} back into the skills of {curriculum}")


def _to_read_again(inherited: Inherited, config: CampaignConfig, student: str) -> Inherited:
    """Pick the lessons that go on: of every skill at most as many as a cycle teaches new, so that none crowds out."""
    pages: dict[str, list[int]] = {}
    for place, lesson in enumerate(inherited.lessons):
        if lesson.kind not in _NOT_READ_AGAIN and lesson.examples:
            pages.setdefault(lesson.item.skill, []).append(place)
    picked: list[int] = []
    for skill, places in pages.items():
        rng = random.Random(make_seed([config.seed, "inherit", student, skill]))
        picked += rng.sample(places, min(len(places), config.tuition.lessons))
    lessons: tuple[Lesson, ...] = tuple(inherited.lessons[place] for place in sorted(picked))
    return replace(inherited, lessons=lessons)


def go_on(students: Sequence[StudentRef], earlier: Earlier | None) -> tuple[StudentRef, ...]:
    """Let students go on from their last promoted checkpoints, with the adapters that these hold.

    Raises:
        UserError: if a base model is another one, or a checkpoint is not what was promoted.
    """
    return tuple(
        _go_on(ref, earlier, place) if earlier is not None and ref.id in earlier.students else ref
        for place, ref in enumerate(students)
    )


def _go_on(ref: StudentRef, earlier: Earlier, place: int) -> StudentRef:
    if ref.base != earlier.base(ref.id):
        remedy = f"name the model that {ref.id} began with"
        message = f"is not the base model that {ref.id} has in {earlier.campaign}"
        raise UserError(Problem(message, key=f"students.{place}.model", value=ref.base_path, remedy=remedy))
    folder, digest = earlier.checkpoint(ref.id)
    if folder is None or digest is None:
        return ref
    try:
        read_checkpoint(folder, digest)
    except StageError as error:
        remedy = f"run {earlier.campaign} again: a finished run does nothing but lay its last checkpoints out anew"
        raise UserError(Problem(str(error), key=KEY, value=str(earlier.folder), remedy=remedy)) from error
    return replace(ref, checkpoint_path=str(folder), digest=digest)
