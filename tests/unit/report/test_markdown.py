from __future__ import annotations

from typing import Any

from huggingface_hub import ModelCard

from tft.report.markdown import render_markdown, render_model_card

LINEAGE = {"skill": "add_3", "kind": "demonstration", "campaign": "first", "asked_by": "abacus",
           "answered_by": "a|b.jsonl", "judged_by": "numeric", "license": None,
           "lessons": 7, "students": {"ada": 7}}  # fmt: skip


def test_the_whole_report_is_there_in_markdown(report: dict[str, Any]) -> None:
    text = render_markdown(report)
    assert text.startswith(f"# {report['campaign']}\n")
    for student in report["students"]:
        assert f"## {student['id']}" in text
    assert "| add_3 | taught |" in text
    assert "▲ ▼: p < 0.05 in McNemar's exact test, corrected (Holm) for all skills of a student" in text
    assert "- add_4 and sub_4 were taught to nobody" in text
    assert "| whole exam | gsm8k_calculator_steps | second | MIT | d4e5f6 |" in text


def test_what_to_do_next_who_can_do_what_and_the_money_stand_there(report: dict[str, Any]) -> None:
    assert "What to do next" not in render_markdown(report) and "cost of the tutor" not in render_markdown(report)
    report["next"], report["tutor"]["money"] = ["raise `tuition.cycles` from 4 to 6.", "look."], 1.2345
    text = render_markdown(report)
    assert "## What to do next\n\n1. raise `tuition.cycles` from 4 to 6.\n2. look.\n" in text
    assert "mastered: add_2, sub_2, add_3, mul_2x1, add_1, sub_1, mul_1; not yet: sub_3." in text
    assert "7 min 18 s, cost of the tutor 1.23.".replace(" min", "\xa0min").replace(" s,", "\xa0s,") in text


def test_the_hub_reads_a_students_card(report: dict[str, Any]) -> None:
    ada = report["students"][0]
    card = ModelCard(render_model_card({**report, "lineage": [LINEAGE]}, ada))
    assert card.data.base_model == ada["model"]
    assert card.data.library_name == "peft"
    found = {it.dataset_config: it.metric_value for it in card.data.eval_results}
    after = {
        name: round(it["after"]["score"], 4)
        for name, it in ada["skills"].items()
        if it["after"].get("score") is not None
    }
    assert found == after
    assert "| add_3 | demonstration | 7 | first | abacus | a\\|b.jsonl | numeric | not recorded |" in card.text
    # Nothing of the others.
    assert "blaise" not in card.text


def test_the_card_says_what_the_chat_template_is_set_to(report: dict[str, Any]) -> None:
    assert "chat template" not in render_model_card(report, report["students"][0])
    report["config"]["students"][0]["template"] = {"enable_thinking": False}
    ada, blaise = (render_model_card(report, it) for it in report["students"])
    assert 'Its chat template is set to `{"enable_thinking": false}`, as it was taught and examined.' in ada
    assert "chat template" not in blaise


def test_a_report_with_nothing_in_it_has_a_card_all_the_same() -> None:
    assert "# None-ada" in render_model_card({}, {"id": "ada"})
    assert render_markdown({}).startswith("# None")
