"""Chat templates of families that think aloud, as TRL ships them: told not to, they ask as they answer."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.learning import spell_bytes
from tests.making import demonstration
from tft.engines.encoding import PromptEncoder
from tft.fitting import list_switches
from tft.student.models import ask
from tft.student.template import set_switches
from tft.training.rows import encode

SPEC = find_spec("trl")
FOLDER = Path((SPEC.origin if SPEC else None) or "").parent / "chat_templates"
QUIET = {"enable_thinking": False}

pytestmark = pytest.mark.skipif(SPEC is None, reason="TRL is not installed: pip install -e '.[dev]'")


@pytest.mark.parametrize(("family", "thoughts", "end"), [
    ("qwen3", "<think>\n\n</think>\n\n", "<|im_end|>"),
    ("qwen3_5_think", "<think>\n\n</think>\n\n", "<|im_end|>"),
    ("glm4moe_training", "<think></think>", "<|user|>"),
    ("nemotron_3_nano", "<think></think>", "<|im_end|>"),
])  # fmt: skip
def test_a_family_that_is_told_to_answer_at_once_learns_to(family: str, thoughts: str, end: str) -> None:
    template = (FOLDER / f"{family}.jinja").read_text(encoding="utf-8")
    assert "enable_thinking" in list_switches(template)
    tokenizer = spell_bytes()
    tokenizer.add_tokens([end], special_tokens=True)
    tokenizer.chat_template = set_switches(template, QUIET)
    (row,) = encode([demonstration("7+5")], tokenizer)
    assert tokenizer.decode(row.tokens[: row.start]).endswith(thoughts)
    assert tokenizer.decode(row.tokens[row.start :]).strip() == f"7+5=12 #12{end}"
    assert list(row.tokens[: row.start]) == PromptEncoder(tokenizer, {})([ask("7+5")])[0]
    # What is set is no switch any more.
    assert "enable_thinking" not in list_switches(tokenizer.chat_template)


def test_a_family_that_answers_at_once_has_no_such_switch() -> None:
    template = (FOLDER / "qwen3_instruct_2507.jinja").read_text(encoding="utf-8")
    assert "enable_thinking" not in list_switches(template)
