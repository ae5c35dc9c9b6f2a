"""How long an answer is to a student: counted with its tokenizer, without its weights."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from transformers import AutoTokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.student.ref import StudentRef


def count_tokens(student: StudentRef, answers: Sequence[str]) -> list[int]:
    """Count the tokens that it would write for each answer, the one that ends it included."""
    if not answers:
        return []
    rows = _open_tokenizer(student.base_path)(list(answers), add_special_tokens=False)["input_ids"]
    return [len(row) + 1 for row in rows]


@lru_cache(maxsize=2)
def _open_tokenizer(folder: str) -> Any:
    return AutoTokenizer.from_pretrained(folder)
