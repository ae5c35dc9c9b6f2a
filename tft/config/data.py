"""Where data lies that is not shipped: rows of an exam suite, and material that is taught."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tft.config._base import Frozen, Refusal, refuse

Format = Literal["auto", "messages", "prompt_completion", "preference", "unpaired", "sharegpt", "alpaca"]


class DataCard(Frozen):
    """Where rows lie; the first place that has them is used."""

    path: str | None = None
    """A JSONL, JSON, CSV or Parquet file: absolute, beside the suite, or below the folder ``$TFT_DATA``."""
    hub: str | None = None
    """Name of a data set on the hub."""
    config: str | None = None
    """Its configuration there."""
    split: str = "test"
    """Its split there."""
    license: str | None = None
    """Its licence, as an SPDX identifier."""
    reference: str | None = None
    """Whom to cite."""


class MaterialConfig(DataCard):
    """Rows that people have already, to be taught beside the tutor's lessons."""

    path: Annotated[str, Field(min_length=1)] | None = None
    """A JSONL, JSON, CSV or Parquet file, or a folder of them: absolute, beside the config, or below ``$TFT_DATA``."""
    split: str = "train"
    """Its split on the hub; ``train[:1000]`` takes a part."""
    format: Format = "auto"
    """What the columns of a row mean; ``auto`` goes by their names, row by row."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Columns that are called otherwise there: ``{prompt: question, completion: answer}``."""
    skill: str | None = None
    """With ``grader``, the only skill whose rows are taken. With ``trust``, the skill of rows that the curriculum does
    not know, which may be one of your own; None means the name of the file."""
    verify: Literal["grader", "trust"] = "grader"
    """Who answers for a row: ``grader`` takes only what the curriculum knows and its grader passes; with ``trust`` you
    answer for questions the curriculum does not know. What it does know is graded all the same."""
    cycles: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    """Spread it evenly over these cycles; None means as soon as a student is taught the skill."""
    longest: Annotated[int, Field(ge=1)] = 16_000
    """Longest row in characters, all turns together; a longer one is dropped."""

    @model_validator(mode="after")
    def _says_where(self) -> MaterialConfig:
        if self.path is None and self.hub is None:
            refuse([Refusal(("path",), None, "says nowhere to read from", "name a path or a data set on the hub")])
        if (self.cycles is not None and sorted(set(self.cycles)) != list(self.cycles)) or self.cycles == ():
            refuse([Refusal(("cycles",), list(self.cycles or ()), "must go up", "write [1, 2], or leave it out")])
        return self

    @property
    def address(self) -> str:
        """What it is called in problems and reports: the path, or the name on the hub."""
        return self.path or ":".join(filter(None, ("hub", self.hub, self.config, self.split)))

    @property
    def topic(self) -> str | None:
        """The skill of rows that the curriculum does not know; None where they are not taken."""
        if self.verify == "grader":
            return None
        return self.skill or (self.hub or "" if self.path is None else PurePath(self.path).stem)


def _path_to_material(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


MaterialUse = Annotated[MaterialConfig, BeforeValidator(_path_to_material, json_schema_input_type=MaterialConfig | str)]
"""The path alone, or more than that."""
