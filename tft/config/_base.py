"""What all config models share: frozen, documented by field docstrings, closed to unknown keys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Iterable

_SUFFIXES = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000, "B": 1_000_000_000}


class Frozen(BaseModel):
    """A config model."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def __hash__(self) -> int:
        """Hash what it says, mappings included."""
        return hash(self.model_dump_json())

    def identity(self) -> dict[str, Any]:
        """Give what decides a result: all but the fields marked as :func:`execution`."""
        kept = {
            name
            for name, info in type(self).model_fields.items()
            if not (isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("execution"))
        }
        plain = self.model_dump(mode="json", include=kept)
        return {name: _identity(getattr(self, name), plain[name]) for name in type(self).model_fields if name in kept}


def _identity(value: Any, plain: Any) -> Any:
    if isinstance(value, Frozen):
        return value.identity()
    if isinstance(value, tuple):
        return [_identity(member, part) for member, part in zip(value, plain, strict=True)]
    return plain


def _read_count(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kMGB]?)\s*", value)
    if match is None:
        raise ValueError("write a number such as 250000, 250k or 2M")
    # Decimal, so that no digit of a number that long is lost and none overflows.
    return round(Decimal(match[1]) * _SUFFIXES[match[2]])


Count = Annotated[int, BeforeValidator(_read_count, json_schema_input_type=int | str), Field(gt=0)]
"""A positive whole number; ``250k`` and ``2M`` are understood."""


def name_to_type(value: Any) -> Any:
    """Read a name alone as the kind of that name with its defaults."""
    return {"type": value} if isinstance(value, str) else value


Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""Lower-case letters, digits, ``-`` and ``_``."""


@dataclass(frozen=True)
class Refusal:
    """What a validator of several fields has against one of them."""

    key: tuple[str | int, ...]
    """Where, seen from the validator."""
    value: Any
    message: str
    remedy: str


def refuse(refusals: Iterable[Refusal]) -> None:
    """Raise all that a validator refuses, each at its own key; nothing where there is nothing.

    Raises:
        ValidationError: which pydantic joins with the others.
    """
    details = [
        InitErrorDetails(
            type=PydanticCustomError("refused", "{message}", {"message": it.message, "remedy": it.remedy}),
            loc=it.key,
            input=it.value,
        )
        for it in refusals
    ]
    if details:
        raise ValidationError.from_exception_data("config", details)


def execution(default: Any = ...) -> Any:
    """Mark a field that decides where and how fast something runs, never what comes out."""
    return Field(default=default, json_schema_extra={"execution": True})
