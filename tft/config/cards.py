"""The cards of the library: a tutor and a curriculum, and the grader that judges answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tft.config._base import Frozen, Identifier, Refusal, name_to_type, refuse
from tft.config.campaign import EngineConfig, Price, TransformersEngineConfig, TutorUse
from tft.config.explaining import closest
from tft.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

Role = Literal["author", "demonstrator", "critic", "judge", "scorer"]
FIELDS: dict[Role, tuple[str, ...]] = {
    "author": ("question",),
    "demonstrator": ("work",),
    "critic": ("critique", "revision"),
    "judge": ("winner",),
    "scorer": (),
}
"""What the answer of a role must contain, as text."""


class RoleCard(Frozen):
    """How a tutor is asked in one role, and how its answer is read."""

    prompt: str
    """File below ``prompts/``: a Jinja template for the user's turn."""
    system: str | None = None
    """File below ``prompts/``: a Jinja template for the system's turn; None means that there is none."""
    answer: str | None = None
    """Regular expression with named groups that a whole answer must match; what does not is refused. A role has
    either this or a ``schema``."""
    answer_schema: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    """JSON schema of an object that a whole answer must be; engines that can hold a model to it do."""
    repairs: Annotated[int, Field(ge=0, le=2)] = 0
    """How often an answer without the right form is asked for again, with what was wrong with it."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0 is greedy."""
    max_tokens: Annotated[int, Field(ge=1)] = 64
    """Longest answer in tokens; an answer that reaches it is refused."""

    @field_validator("answer")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value

    @field_validator("answer_schema")
    @classmethod
    def _is_schema(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError

        try:
            Draft202012Validator.check_schema(value or {})
        except SchemaError as error:
            raise ValueError(f"not a JSON schema: {error.message}") from error
        if value is not None and value.get("type") != "object":
            raise ValueError("an answer has named parts: write type: object")
        return value

    @model_validator(mode="after")
    def _has_one_form(self) -> RoleCard:
        if (self.answer is None) == (self.answer_schema is None):
            raise ValueError("an answer has one form: write either answer or schema")
        return self

    def fields(self) -> set[str]:
        """Name the parts that every answer of this form has."""
        if self.answer is not None:
            return set(re.compile(self.answer).groupindex)
        schema = self.answer_schema or {}
        texts = {name for name, it in schema.get("properties", {}).items() if it.get("type", "string") == "string"}
        return texts & set(schema.get("required", ()))


SERVE_KEY = "TFT_SERVE_KEY"
"""Environment variable with the key of a served tutor."""


class ServeConfig(Frozen):
    """How ``tft serve`` runs a tutor."""

    replicas: Annotated[int, Field(ge=1)] = 1
    """Copies of the model; the fewest, where ``most`` is more."""
    most: Annotated[int, Field(ge=1)] | None = None
    """Most copies: more are started while requests wait, and ended again; None means no more than ``replicas``."""
    cpus: Annotated[float, Field(ge=0)] = 1.0
    """Logical CPUs a copy."""
    gpus: Annotated[float, Field(ge=0)] | None = None
    """GPUs a copy; None means what its engine shares the model over, where the cluster has GPUs."""
    threads: Annotated[int, Field(ge=1)] = 2
    """CPU threads a copy."""
    ongoing: Annotated[int, Field(ge=1)] = 256
    """Requests at a copy at once; with more, clients take turns."""
    drain: Annotated[float, Field(ge=0)] = 120.0
    """Seconds that a copy which is to end has to finish what it began."""

    @property
    def at_most(self) -> int:
        """Most copies there may be."""
        return self.most or self.replicas

    @model_validator(mode="after")
    def _most_is_most(self) -> ServeConfig:
        if self.most is not None and self.most < self.replicas:
            raise ValueError(f"most is the upper end: write {self.replicas} or more, or lower replicas")
        return self


class ServeUse(TutorUse):
    """What ``tft serve`` serves."""

    name: str | None = None
    """What requests call the model; None means the tutor's name, or the model's where one is named here."""
    serve: ServeConfig | None = None
    """How to run it, instead of what the card says."""


class TutorCard(Frozen):
    """``tutors/<name>/tutor.yaml``: a model and the prompts for its roles."""

    tutor: Identifier
    """Name of the tutor."""
    extends: str | None = None
    """Name of another card: what is not said here is as it is there, and prompts are looked up there too."""
    description: str
    """What it is, in a sentence."""
    model: str | None = None
    """Its model: a folder beside the card, a path or a hub name; None means that the campaign names one."""
    engine: EngineConfig = TransformersEngineConfig()
    """The engine it runs on unless the campaign says otherwise."""
    license: str | None = None
    """Licence of the weights, as an SPDX identifier."""
    price: Price | None = None
    """What its tokens cost; None means nothing."""
    longest_attempt: Annotated[int, Field(ge=1)] = 4000
    """Longest attempt the critic reads, in characters; a longer one is refused."""
    roles: dict[Role, RoleCard]
    """The roles it can take."""
    serve: ServeConfig = ServeConfig()
    """How ``tft serve`` runs it."""

    @model_validator(mode="after")
    def _roles_answer_what_is_needed(self) -> TutorCard:
        refuse(
            Refusal(
                ("roles", role),
                ", ".join(sorted(card.fields())) or "nothing",
                f"the answer of a {role} must have: {', '.join(FIELDS[role])}",
                "name these groups in answer, or require these strings in schema",
            )
            for role, card in self.roles.items()
            if not set(FIELDS[role]) <= card.fields()
        )
        return self


class GraderConfig(Frozen):
    """Which grader judges answers."""

    type: str
    """Name of a grader: ``exact``, ``numeric``, ``constraints``, or one a plug-in brings."""
    marker: Annotated[str, Field(min_length=1)] | None = None
    """The answer is what follows the last of these marks, and an answer without the mark is wrong; None means
    that the whole answer counts (``exact``) or the last number in it (``numeric``)."""
    cut_off: bool = False
    """Whether an answer that the length limit cut off is graded all the same; otherwise it is wrong."""


EXAMINERS = ("rubric", "inspect")
"""Kinds of grader that only whole exams have; ``tft.config.suites`` says how."""
GraderUse = Annotated[GraderConfig, BeforeValidator(name_to_type, json_schema_input_type=GraderConfig | str)]


class SkillCard(Frozen):
    """One skill of a curriculum."""

    title: str
    """What it is, in a few words."""
    needs: tuple[str, ...] = ()
    """Skills that must be ``ready`` (``tuition.ready``) before this one is taught."""
    role: Literal["taught", "retention", "stretch"] = "taught"
    """``taught``; ``retention``: known before and to be kept, never taught; ``stretch``: never taught, only
    examined, to show where learning ends."""
    levels: Annotated[int, Field(ge=1, le=9)] = 1
    """Levels of difficulty, from 1."""
    rubric: Annotated[str, Field(min_length=1)] | None = None
    """What counts, in words, where a judge tells two answers apart; None means what the judge's prompt says."""


class CurriculumCard(Frozen):
    """``curricula/<name>/curriculum.yaml``: a graph of skills."""

    curriculum: Identifier
    """Name of the curriculum."""
    description: str
    """What it teaches, in a sentence."""
    items: str
    """Python file beside the card with ``draw``, ``classify`` and ``fingerprint``."""
    grader: GraderUse
    """Who judges the answers."""
    license: str = "Apache-2.0"
    """Licence of the items."""
    skills: dict[str, SkillCard]
    """The skills, in the order they are shown."""

    @field_validator("grader")
    @classmethod
    def _grader_is_a_rule(cls, grader: GraderConfig) -> GraderConfig:
        if grader.type in EXAMINERS:
            remedy = "take one that compares answers: a lesson has to pass it too"
            refuse([Refusal(("type",), grader.type, "grades whole exams only", remedy)])
        return grader

    @model_validator(mode="after")
    def _graph_is_sound(self) -> CurriculumCard:
        known = f"known: {', '.join(self.skills)}"
        refusals = [
            Refusal(("skills", name, "needs", place), need, "is not a skill of this curriculum", known)
            for name, skill in self.skills.items()
            for place, need in enumerate(skill.needs)
            if need not in self.skills
        ]
        cycle = find_cycle({name: skill.needs for name, skill in self.skills.items()})
        if cycle:
            remedy = "take one of these needs out"
            place = ("skills", cycle[0], "needs")
            refusals.append(Refusal(place, " → ".join(cycle), "skills need each other in a circle", remedy))
        refuse(refusals)
        return self


def choose_skills(names: Sequence[str] | None, curriculum: CurriculumCard) -> dict[str, SkillCard]:
    """Take the skills a campaign names, or all of them for None, in the order of the curriculum.

    Raises:
        UserError: if a name is not a skill.
    """
    if names is None:
        return dict(curriculum.skills)
    unknown = [
        Problem(
            "is not a skill of the curriculum",
            key=f"skills.{place}",
            value=name,
            remedy=closest(name, curriculum.skills),
        )
        for place, name in enumerate(names)
        if name not in curriculum.skills
    ]
    if unknown:
        raise UserError(*unknown)
    return {name: card for name, card in curriculum.skills.items() if name in names}


def find_cycle(needs: dict[str, tuple[str, ...]]) -> list[str]:
    """Find a circle in a graph of needs, as the path that leads back to its start; empty if there is none.

    >>> find_cycle({"a": ("b",), "b": ("a",)})
    ['a', 'b', 'a']
    """
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for need in needs.get(name, ()):
            found = walk(need, [*path, name])
            if found:
                return found
        done.add(name)
        return []

    for name in needs:
        found = walk(name, [])
        if found:
            return found
    return []
