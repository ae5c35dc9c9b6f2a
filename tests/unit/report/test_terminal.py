from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from tft.report import print_summary


def printed(report: dict[str, Any], width: int = 80, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding, newline="\n") as stream:
        print_summary(report, Console(file=stream, width=width))
        stream.flush()
        return raw.getvalue().decode(encoding).replace("\xa0", " ")


def line(text: str, start: str, occurrence: int = 0) -> list[str]:
    return [found.split() for found in text.splitlines() if found.strip().startswith(start)][occurrence]


def test_a_row_says_what_the_report_says(report: dict[str, Any]) -> None:
    report["students"][0]["skills"]["add_2"].update(
        before={"score": 0.101, "low": 0.08, "high": 0.14, "n": 777},
        after={"score": 0.853, "low": 0.81, "high": 0.89, "n": 777},
        change={"value": 0.752, "low": 0.71, "high": 0.79},
    )
    assert line(printed(report), "add_2") == [
        "add_2",
        "taught",
        "10.1",
        "(8–14)",
        "85.3",
        "(81–89)",
        "▲",
        "+75.2",
    ]


def test_marks_follow_the_change(report: dict[str, Any]) -> None:
    text = printed(report)
    assert line(text, "sub_1")[-2:] == ["≈", "−1.2"]
    assert line(text, "mul_1", 1)[-2:] == ["▼", "−4.3"]
    assert "worst drop of what was known before: 4.3 points on mul_1 (1.9 to 7.5)" in text
    report["students"][1]["retention"]["worst_drop"]["of"] = 3
    assert "4.3 points on mul_1 (1.9 to 7.5; the worst of 3)" in " ".join(printed(report).split())


def test_marks_follow_the_corrected_test_where_there_is_one(report: dict[str, Any]) -> None:
    report["students"][0]["skills"]["sub_1"]["change"].update(low=-0.03, high=-0.001, p=0.03, p_holm=0.3)
    text = printed(report)
    assert line(text, "sub_1")[-2:] == ["≈", "−1.2"]
    assert "▲ ▼ clear: McNemar, p < 0.05 after Holm; ≈ not clear; – not measured" in text


def test_what_is_believed_is_sorted_by_mastery(report: dict[str, Any]) -> None:
    report["students"][0]["mastery"]["add_2"].update(score=0.885, low=0.821, high=0.934, undecided=[0.75, 0.9])
    report["students"][0]["mastery"]["sub_2"].update(score=0.7, undecided=[0.75])
    text = " ".join(printed(report, 200).split())
    assert "believed of the last checkpoint, mastered: add_1, sub_1, mul_1" in text
    assert "; not mastered: sub_2, add_4, sub_4; undecided: add_2 (82.1 to 93.4), add_3 (" in text
    assert text.count("believed of") == 1


def test_costs_and_reasons_are_told(report: dict[str, Any]) -> None:
    text = printed(report)
    assert "every skill to be taught was mastered" in text
    assert "403,755 tokens, 137,277 of them from the cache · 7 min 18 s" in text
    assert "ada (lora) · 16.6 % → 93.9 % on taught skills · stopped: mastery" in text


def test_what_to_do_next_and_what_it_cost_is_told(report: dict[str, Any]) -> None:
    assert "next:" not in printed(report) and "cost" not in printed(report)
    report["next"] = ["raise `tuition.cycles` from 4 to 6.", "look."]
    report["tutor"]["money"] = 0.5
    text = printed(report)
    assert line(text, "next:") == ["next:", "1.", "raise", "tuition.cycles", "from", "4", "to", "6."]
    assert line(text, "2. look.")
    assert "from the cache, cost 0.50 ·" in text


def test_whole_exams_are_told_also_when_not_sat(report: dict[str, Any]) -> None:
    text = printed(report)
    assert line(text, "gsm8k_calculator_steps")[3:] == ["16.4", "(15–18)", "45.9", "(44–47)", "▲", "+29.5"]
    assert "gsm8k_calculator_steps: not sat, the file gsm8k/test.jsonl was not found" in text


def test_what_was_watched_is_followed_from_cycle_to_cycle(report: dict[str, Any]) -> None:
    scores = [({"score": 0.5}, {"score": 0.6}, True), ({"score": 0.6}, {"score": 0.2}, False)]
    report["students"][1]["cycles"] = [
        {"cycle": cycle, "promoted": promoted, "watched": {"trivia": {"before": before, "after": after}}}
        for cycle, (before, after, promoted) in enumerate(scores, start=1)
    ]
    assert "watched of trivia: 50.0 % → 60.0 % → 20.0 % (rolled back)" in printed(report)
    assert "watched of" not in printed({**report, "students": report["students"][:1]})


def test_what_was_not_measured_is_a_dash(report: dict[str, Any]) -> None:
    report["students"][0]["skills"]["add_2"].update(after=None, change=None)
    report["students"][0]["retention"] = {"worst_drop": {"skill": None, "value": None}}
    text = printed(report)
    assert line(text, "add_2")[-2:] == ["–", "–"]
    assert "worst drop of what was known before: – (not measured)" in text


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(report: dict[str, Any], width: int) -> None:
    assert max(map(len, printed(report, width).splitlines())) <= width


def test_a_plain_pipe_gets_no_escape_codes_and_no_markup(report: dict[str, Any]) -> None:
    report["students"][0]["id"] = "[red]ada[/red]"
    text = printed(report)
    assert "\x1b" not in text
    assert "[red]ada[/red] (lora)" in text


def test_an_ascii_pipe_can_carry_it(report: dict[str, Any]) -> None:
    text = printed(report, encoding="ascii")
    assert line(text, "mul_1", 1)[-2:] == ["v", "-4.3"]


def test_a_foreign_letter_does_not_break_an_ascii_pipe(report: dict[str, Any]) -> None:
    report["students"][0]["id"] = "zoë"
    report["students"][1]["whole"]["gsm8k_calculator_steps"]["reason"] = "kein Zugriff: „nö“"
    assert "zo? (lora)" in printed(report, encoding="ascii")


def test_an_empty_report_claims_nothing() -> None:
    text = printed({"campaign": "empty"})
    assert "empty" in text
    assert "None" not in text


def test_where_nothing_was_taught_the_first_refusal_is_shown(report: dict[str, Any]) -> None:
    report["curation"]["examples"] = [
        {"kind": "item", "skill": "add_2", "reason": "off_skill", "text": '{"question":\n "what? [bold]"}' + "x" * 300}
    ]
    assert "were refused; the first" not in printed(report)
    report["students"][0]["stopped_because"] = "no_lessons"
    text = " ".join(printed(report).split())
    assert 'refused; the first, item of add_2 (off_skill): {"question": "what? [bold]"}xxx' in text
    assert "x" * 200 not in text
    report["curation"]["examples"] = []
    assert "were refused; the first" not in printed(report)


def test_the_limit_that_was_reached_is_told(report: dict[str, Any]) -> None:
    report["limit_reached"] = "budget.money: 256 requests may cost 1.5, 0.25 are left"
    assert "the limit that was reached: budget.money: 256 requests may cost 1.5, 0.25 are left" in printed(report, 120)


def test_what_a_student_was_before_is_told(report: dict[str, Any]) -> None:
    scores = {"sub_2": {"score": 0.875, "low": 0.8, "high": 0.9, "n": 99}}
    report["students"][0]["lineage"] = [
        {"run": "spring", "date": "2026-03-01", "checkpoint": None, "taught": [], "skills": scores},
        {"run": "summer", "date": "2026-07-01", "checkpoint": "ab" * 32, "taught": ["sub_2"], "skills": scores},
    ]
    text = " ".join(printed(report).split())
    assert "before: spring, 2026-03-01, base model: learned nothing new" in text
    assert "before: summer, 2026-07-01, abababab: learned sub_2 87.5 %" in text


def test_what_was_rolled_back_is_said_with_the_reason(report: dict[str, Any]) -> None:
    refused = report["students"][0]["cycles"][1]
    assert refused["promoted"] is False
    text = " ".join(printed(report).split())
    assert f"cycle 2: {refused['decision']}" in text
    assert "cycle 1:" not in text
