"""Every format with good rows and bad ones, in the columns of TRL, ShareGPT and Alpaca."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tft.config.data import Format
from tft.material import Dialogue, Trouble, read_row
from tft.records import Message

SKY = "What color is the sky?"
USER = {"role": "user", "content": SKY}
BLUE = {"role": "assistant", "content": "Blue."}
GREEN = {"role": "assistant", "content": "Green."}
SYSTEM = {"role": "system", "content": "Be brief."}
AGAIN = {"role": "user", "content": "And at night?"}
BLACK = {"role": "assistant", "content": "Black."}
DEEP: list[Any] = []
for _ in range(5_000):
    DEEP = [DEEP]
ASKED = (Message("user", SKY),)
BOTH = (Message("user", SKY), Message("assistant", "Blue."), Message("user", "And at night?"))
BRIEF = Message("system", "Be brief.")

GOOD: dict[str, tuple[str, dict[str, Any], Dialogue]] = {
    "messages": ("messages", {"messages": [USER, BLUE]}, Dialogue(ASKED, "Blue.")),
    "several turns": ("messages", {"messages": [USER, BLUE, AGAIN, BLACK]}, Dialogue(BOTH, "Black.", (1,))),
    "a system turn": (
        "messages",
        {"messages": [SYSTEM, USER, BLUE, AGAIN, BLACK]},
        Dialogue((BRIEF, *BOTH), "Black.", (2,)),
    ),
    "an empty system turn": (
        "messages",
        {"messages": [{"role": "system", "content": ""}, USER, BLUE]},
        Dialogue(ASKED, "Blue."),
    ),
    "blocks of text": (
        "messages",
        {"messages": [USER, {"role": "assistant", "content": [{"type": "text", "text": "Blue."}]}]},
        Dialogue(ASKED, "Blue."),
    ),
    "messages in a cell": (
        "messages",
        {"messages": '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]'},
        Dialogue((Message("user", "Hi"),), "Ho"),
    ),
    "prompt and completion": (
        "prompt_completion",
        {"prompt": SKY, "completion": " Blue."},
        Dialogue(ASKED, "Blue."),
    ),
    "prompt and completion as turns": (
        "prompt_completion",
        {"prompt": [SYSTEM, USER, BLUE, AGAIN], "completion": [BLACK]},
        # Only the completion is learned.
        Dialogue((BRIEF, *BOTH), "Black."),
    ),
    "a completion of several turns": (
        "prompt_completion",
        {"prompt": [USER], "completion": [BLUE, AGAIN, BLACK]},
        Dialogue(BOTH, "Black.", (1,)),
    ),
    "a pair": (
        "preference",
        {"prompt": SKY, "chosen": "Blue.", "rejected": "Green."},
        Dialogue(ASKED, "Blue.", rejected="Green."),
    ),
    "a pair as turns": (
        "preference",
        {"prompt": [USER], "chosen": [BLUE], "rejected": [GREEN]},
        Dialogue(ASKED, "Blue.", rejected="Green."),
    ),
    "a pair whose prompt is inside": (
        "preference",
        {"chosen": [USER, BLUE, AGAIN, BLACK], "rejected": [USER, BLUE, AGAIN, GREEN]},
        Dialogue(BOTH, "Black.", rejected="Green."),
    ),
    "a pair whose prompt is inside and beside": (
        "preference",
        {"prompt": SKY, "chosen": [USER, BLUE], "rejected": [USER, GREEN], "messages": [USER, BLUE]},
        Dialogue(ASKED, "Blue.", rejected="Green."),
    ),
    "a pair whose words begin alike": (
        "preference",
        {"chosen": "The sky is blue.", "rejected": "The sky is black."},
        Dialogue((Message("user", "The sky is"),), "blue.", rejected="black."),
    ),
    "right alone": (
        "unpaired",
        {"prompt": SKY, "completion": "Blue.", "label": True},
        Dialogue(ASKED, "Blue.", right=True),
    ),
    "wrong alone": (
        "unpaired",
        {"prompt": [USER], "completion": [GREEN], "label": False},
        Dialogue(ASKED, "Green.", right=False),
    ),
    "a verdict of a table": (
        "unpaired",
        {"prompt": SKY, "completion": "Green.", "label": "False"},
        Dialogue(ASKED, "Green.", right=False),
    ),
    "sharegpt": (
        "sharegpt",
        {"conversations": [{"from": "human", "value": SKY}, {"from": "gpt", "value": "Blue."}]},
        Dialogue(ASKED, "Blue."),
    ),
    "sharegpt with a system": (
        "sharegpt",
        {
            "system": "Be brief.",
            "conversations": [
                {"from": "human", "value": SKY},
                {"from": "gpt", "value": "Blue."},
                {"from": "human", "value": "And at night?"},
                {"from": "gpt", "value": "Black."},
            ],
        },
        Dialogue((BRIEF, *BOTH), "Black.", (2,)),
    ),
    "alpaca": (
        "alpaca",
        {"instruction": "Translate.", "input": "Himmel", "output": "sky"},
        Dialogue((Message("user", "Translate.\n\nHimmel"),), "sky"),
    ),
    "alpaca without input": (
        "alpaca",
        {"instruction": SKY, "input": "", "output": "Blue."},
        Dialogue(ASKED, "Blue."),
    ),
    "alpaca with a history": (
        "alpaca",
        {"instruction": "And at night?", "output": "Black.", "history": [[SKY, "Blue."]], "system": "Be brief."},
        Dialogue((BRIEF, *BOTH), "Black.", (2,)),
    ),
}
BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no columns that are known": ({"question": SKY, "answer": "Blue."}, "no_format", "question, answer"),
    "nothing": ({}, "no_format", "nothing"),
    "no messages": ({"messages": []}, "empty", "messages is empty"),
    "messages that are text": ({"messages": "Hi"}, "wrong_type", "messages is not a list"),
    "messages that are numbers": ({"messages": [1, 2]}, "wrong_type", "no message"),
    "an empty answer": ({"messages": [USER, {**BLUE, "content": " "}]}, "empty", "messages is empty"),
    "an answer that is null": ({"messages": [USER, {**BLUE, "content": None}]}, "empty", "empty"),
    "an image": ({"messages": [{"role": "user", "content": [{"type": "image"}]}, BLUE]}, "wrong_type", "no text"),
    "a tool": ({"messages": [USER, {"role": "tool", "content": "1"}, BLUE]}, "roles", "'tool'"),
    "no role": ({"messages": [{"content": "Hi"}, BLUE]}, "roles", "None"),
    "an answer first": ({"messages": [BLUE, USER]}, "roles", "assistant → user"),
    "a question last": ({"messages": [USER, BLUE, AGAIN]}, "roles", "user → assistant → user"),
    "two questions": ({"messages": [USER, AGAIN, BLUE]}, "roles", "user → user"),
    "a system alone": ({"messages": [SYSTEM]}, "roles", "system"),
    "a late system turn": ({"messages": [USER, SYSTEM, BLUE]}, "roles", "system"),
    "an empty completion": ({"prompt": SKY, "completion": ""}, "empty", "completion"),
    "a prompt that is a number": ({"prompt": 3, "completion": "x"}, "wrong_type", "prompt"),
    "a completion that asks": ({"prompt": [USER], "completion": [AGAIN]}, "roles", "user → user"),
    "a pair of the same": ({"prompt": SKY, "chosen": "Blue.", "rejected": "Blue. "}, "same_answers", "the same"),
    "an implicit pair of the same": ({"chosen": "Blue.", "rejected": "Blue. "}, "same_answers", "the same"),
    "a pair of empty system turns": (
        {"chosen": [{"role": "system", "content": ""}], "rejected": [GREEN]}, "empty", "chosen is empty",
    ),
    "a value that is very deep": ({"messages": {"a": DEEP}}, "wrong_type", "no"),
    "a pair without a prompt": ({"chosen": "Blue.", "rejected": "Green."}, "empty", "prompt is empty"),
    "a pair that parts early": ({"chosen": [USER, BLUE, AGAIN, BLACK], "rejected": [USER, GREEN]}, "roles", "one"),
    "a label that is none": ({"prompt": SKY, "completion": "Blue.", "label": "maybe"}, "wrong_type", "label"),
    "a verdict on several answers": (
        {"prompt": SKY, "completion": [BLUE, AGAIN, BLACK], "label": True}, "roles", "not one answer",
    ),
    "a sharegpt speaker": ({"conversations": [{"from": "bot", "value": "Hi"}]}, "roles", "'bot'"),
    "alpaca without output": ({"instruction": SKY, "output": ""}, "empty", "output"),
    "alpaca with a broken history": ({"instruction": SKY, "output": "x", "history": ["y"]}, "wrong_type", "history"),
    "half a surrogate": ({"prompt": SKY, "completion": "\ud800"}, "not_text", "Unicode"),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_good_rows_are_read_by_their_columns_or_by_name(name: str) -> None:
    form, values, expected = GOOD[name]
    assert read_row(values, "auto") == expected
    assert read_row(values, form) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_have_a_reason_and_say_which_column(name: str) -> None:
    values, reason, said = BAD[name]
    found = read_row(values, "auto")
    assert isinstance(found, Trouble)
    assert found.reason == reason
    assert said in found.said


def test_a_named_format_asks_for_its_columns() -> None:
    found = read_row({"messages": [USER, BLUE]}, "alpaca")
    assert found == Trouble("no_format", "lacks instruction, output, which alpaca has")


def test_every_format_has_a_good_row() -> None:
    assert {form for form, _, _ in GOOD.values()} == set(get_args(Format)) - {"auto"}


def test_rows_that_trl_reads_are_read_alike() -> None:
    from trl import extract_prompt

    implicit = GOOD["a pair whose prompt is inside"][1]
    explicit = extract_prompt(dict(implicit))
    assert read_row(explicit, "auto") == read_row(implicit, "auto")


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["user", "gpt", "Hi"])
COLUMNS = st.sampled_from(
    ["messages", "prompt", "completion", "chosen", "rejected", "label", "conversations", "instruction", "input",
     "output", "history", "system"]
)  # fmt: skip
KEYS = st.sampled_from(["role", "content", "from", "value", "type", "text"])
TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": LEAVES}),
    max_size=5,
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)


@given(st.dictionaries(COLUMNS, VALUES | TURNS, max_size=5), st.sampled_from(get_args(Format)))
def test_no_row_raises(values: dict[str, Any], form: Format) -> None:
    found = read_row(values, form)
    if isinstance(found, Dialogue):
        assert found.asked[-1].role == "user"
        assert found.answer.strip()
        assert all(found.asked[place].role == "assistant" for place in found.learned)
    else:
        assert found.reason and found.said
