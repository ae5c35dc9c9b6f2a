"""The card of a whole exam: where its rows lie, and how they become items."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from tft.config._base import Frozen, Refusal, name_to_type, refuse
from tft.config.campaign import JudgeUse
from tft.config.cards import GraderConfig
from tft.config.data import DataCard


class ExtractCard(Frozen):
    """How items are taken out of a data set: every match of a pattern in one field of each row."""

    field: str
    """Name of the field that is searched."""
    pattern: str
    """Regular expression with the named groups ``question`` and ``reference``."""

    @field_validator("pattern")
    @classmethod
    def _has_groups(cls, value: str) -> str:
        try:
            groups = re.compile(value).groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if not {"question", "reference"} <= set(groups):
            raise ValueError("needs the named groups (?P<question>…) and (?P<reference>…)")
        return value


class ColumnsCard(Frozen):
    """Columns of a row that is an item; None means one of the usual names."""

    question: str | None = None
    """What is asked: ``question``, ``prompt``, ``problem``, ``query``, ``instruction``, ``input``."""
    reference: str | None = None
    """The right answer: ``answer``, ``reference``, ``target``, ``expected``, ``completion``, ``output``, ``solution``,
    ``label``."""
    group: str | None = None
    """A group that a report shows apart: ``group``, ``category``."""
    same: str | None = None
    """What questions have in common that ask the same in other words: ``same_as``, ``paraphrase_of``,
    ``variant_of``."""


class LmEvalCard(Frozen):
    """A task of the Language Model Evaluation Harness, which asks and grades it."""

    task: Annotated[str, Field(min_length=1)]
    """Its YAML file, absolute or beside the card; or the name of a task, or a group of them, that lm-eval brings."""
    fewshot: Annotated[int, Field(ge=0)] | None = None
    """Worked examples before each question; None means what the task says."""
    chat_template: bool = False
    """Whether questions are put as conversations; otherwise as plain text, as lm-eval does unless told otherwise."""
    batch_size: Annotated[int, Field(ge=1)] = 1
    """Rows at once. More is faster; numbers of less than 32 bits then round differently, as they do in lm-eval."""


class RubricConfig(GraderConfig):
    """A rubric, put to a judge with every answer."""

    type: Literal["rubric"] = "rubric"
    """Says that this is a rubric."""
    rubric: str | None = None
    """What makes an answer pass, in words."""
    rubric_file: str | None = None
    """File beside the card that says it, instead."""
    judge: JudgeUse | None = None
    """Who grades; None means the campaign's ``exams.examiner``."""

    @model_validator(mode="after")
    def _has_one_rubric(self) -> RubricConfig:
        if (self.rubric is None) == (self.rubric_file is None):
            refuse([Refusal(("rubric",), self.rubric, "is there once", "write either rubric or rubric_file")])
        return self


class InspectConfig(GraderConfig):
    """A scorer of inspect_ai that compares texts."""

    type: Literal["inspect"] = "inspect"
    """Says that this is one of inspect_ai."""
    scorer: Literal["match", "includes", "exact", "answer", "pattern"]
    """Its name there."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Its arguments, such as ``{numeric: true}``."""


def _kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if kind in ("rubric", "inspect") else "rule"


SuiteGrader = Annotated[
    Annotated[RubricConfig, Tag("rubric")]
    | Annotated[InspectConfig, Tag("inspect")]
    | Annotated[GraderConfig, Tag("rule")],
    Discriminator(_kind),
    BeforeValidator(name_to_type, json_schema_input_type=RubricConfig | InspectConfig | GraderConfig | str),
]


class SuiteCard(Frozen):
    """``evals/<name>.yaml``: a whole exam."""

    exam: str
    """Name of the suite."""
    caption: str
    """What a score here means and what it does not, in one sentence; shown under the score."""
    data: DataCard = DataCard()
    """Where the rows are."""
    lm_eval: LmEvalCard | None = None
    """A task of lm-eval that is the exam, instead of rows."""
    inspect: str | None = None
    """A log of inspect_ai, absolute, beside the card or below ``$TFT_DATA``, whose samples are the items, instead of
    rows."""
    extract: ExtractCard | None = None
    """How items are taken out of a text; None means that a row is an item, and its columns are its parts."""
    columns: ColumnsCard | None = None
    """Which columns these are; None means that they have their usual names."""
    grader: SuiteGrader | None = None
    """Who judges the answers; None means what a log of inspect_ai says, and of rows ``numeric`` where all references
    are numbers, and ``exact`` otherwise."""
    groups: dict[str, str] = Field(default_factory=dict)
    """Groups shown apart: a name and a regular expression over the question; the first that matches counts.
    ``covered`` and ``uncovered`` are added: whether the curriculum teaches or expects what is asked."""

    @model_validator(mode="after")
    def _has_one_source(self) -> SuiteCard:
        if self.extract is not None and self.columns is not None:
            remedy = "leave one of them out: an item is a match in a text, or a row"
            refuse([Refusal(("columns",), "columns", "stands beside extract", remedy)])
        task = {"lm_eval": "data extract columns inspect grader", "inspect": "data extract columns"}
        for source, others in task.items():
            told = [name for name in others.split() if name in self.model_fields_set]
            if getattr(self, source) is not None:
                remedy = f"leave it out: {source} says it"
                refuse(Refusal((name,), name, f"stands beside {source}", remedy) for name in told)
                return self
        if self.data.path is None and self.data.hub is None:
            refuse([Refusal(("data",), None, "says nowhere to read from", "name a path or a data set on the hub")])
        return self
