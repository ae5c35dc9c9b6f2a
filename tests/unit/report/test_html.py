from __future__ import annotations

import re
from collections import Counter
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest

from tft.report import render_html
from tft.report.html import compared

from .reader import Page

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def page(report: dict[str, Any]) -> Page:
    return Page(render_html(report))


def body(report: dict[str, Any]) -> str:
    return page(report).all("body")[0].text


def test_a_skill_row_says_what_the_report_says(report: dict[str, Any]) -> None:
    report["students"][0]["skills"]["add_2"] = {
        "taught": True,
        "lessons": 123,
        "trained_tokens": 4567,
        "before": {"score": 0.101, "low": 0.081, "high": 0.142, "n": 777},
        "after": {"score": 0.853, "low": 0.811, "high": 0.894, "n": 777},
        "change": {"value": 0.752, "low": 0.713, "high": 0.794},
    }
    cells = page(report).row("add_2")
    assert cells[1] == "10.1 %8.1 to 14.2"
    assert cells[2] == "85.3 %81.1 to 89.4"
    assert cells[3] == "▲rose +75.2+71.3 to +79.4"
    assert cells[5:] == ["777", "123", "4,567"]


def test_the_chart_of_a_row_has_the_same_numbers_in_its_title(report: dict[str, Any]) -> None:
    chart = page(report).row("mul_2x1")[4]
    assert chart == ("mul_2x1: before 17.2 % (95 % interval 13.1 to 22.3), after 93.8 % (95 % interval 90.1 to 96.1)")


def test_the_outcome_of_each_student_is_one_sentence(report: dict[str, Any]) -> None:
    report["students"][0]["final_mean"] = {"before": 0.17, "after": 0.93}
    first, second = (item.text for item in page(report).all("p") if item.attributes.get("class") == "outcome")
    learned, kept = first.split("; ")
    assert learned == "ada went from 17 % to 93 % on 5 taught skills"
    assert kept == "nothing it knew before fell by more than 1.2 points."
    assert second.endswith("▼ it lost 4.3 points on mul_1, which it knew before.")


def test_certainty_counts_only_what_stays_clear_once_it_is_corrected(report: dict[str, Any]) -> None:
    report["students"][0]["skills"]["add_2"]["change"] = {"value": 0.03, "low": 0.01, "high": 0.05, "p_holm": 0.06}
    report["students"][0]["skills"]["sub_2"]["change"] = {"value": -0.09, "low": -0.12, "high": -0.04, "p_holm": 0.01}
    said = next(item.text for item in page(report).all("p") if item.attributes.get("class") == "sure")
    assert said.startswith("3 of 5 taught skills rose and 1 fell: p < 0.05 in McNemar's exact test, corrected (Holm)")
    assert "256 held-out items a skill" in said
    assert page(report).row("add_2")[3].startswith("≈no clear change +3.0")
    legend = next(item.text for item in page(report).all("p") if item.attributes.get("class") == "legend")
    assert "Clear: p < 0.05 in McNemar's exact test, corrected (Holm) for all skills" in legend


def test_the_worst_of_several_drops_says_so(report: dict[str, Any]) -> None:
    assert "for the worst of" not in body(report)
    report["students"][0]["retention"]["worst_drop"]["of"] = 5
    assert "Worst drop: 1.2 points on sub_1 (95 % interval for the worst of 5 −0.5 to 3.0)." in body(report)


def test_items_that_repeat_a_question_are_told_apart_from_questions(report: dict[str, Any]) -> None:
    whole = report["students"][0]["whole"]["gsm8k_calculator_steps"]
    whole["after"]["questions"] = 2846
    assert page(report).row("all items")[5] == "4,2822,846 different"


def test_costs_and_reasons_stand_in_the_masthead(report: dict[str, Any]) -> None:
    report["tutor"]["tokens"].update(total=1_000_000, of_which_cached=250_000)
    report["stopped_because"] = "plateau"
    masthead = page(report).all("header")[0].text
    assert "1,000,000" in masthead
    assert "25.0 %" in masthead
    assert "7 min 18 s" in masthead
    assert "there was no more progress" in masthead


def test_the_first_screen_says_who_can_do_what_and_what_to_do_next(report: dict[str, Any]) -> None:
    report["config"]["tuition"]["ready"] = 0.75
    report["next"] = ["raise `tuition.cycles` from 4 to 6 & go on"]
    shown = page(report)
    ada = next(item for item in shown.all("dl") if item.attributes.get("class") == "standings")
    assert [[it.text for it in row.children] for row in ada.children] == [
        ["mastered", "add_2, sub_2, add_3, mul_2x1, add_1, sub_1, mul_1"], ["nearly", "sub_3"],
    ]  # fmt: skip
    steps = shown.all("ol")[0].children
    assert [item.text for item in steps] == ["raise tuition.cycles from 4 to 6 & go on"]
    assert [(it.tag, it.text) for it in steps[0].children] == [("code", "tuition.cycles")]
    report["next"] = []
    assert "What to do next" not in body(report)


def test_money_is_told_where_a_price_is_known(report: dict[str, Any]) -> None:
    assert "cost of the tutor" not in body(report)
    assert "no price of this tutor is known" in body(report)
    report["tutor"].update(money=1.2345, price={"prompt": 0.5, "completion": 2.0})
    assert "cost of the tutor1.23" in page(report).all("header")[0].text
    assert "0.5 for a million tokens read, 2.0 for a million written or scored" in body(report)
    assert "only money counts what was really paid" not in body(report)


def test_what_is_still_wrong_is_shown_with_the_graders_reason(report: dict[str, Any]) -> None:
    assert "Still wrong" not in body(report)
    report["failures"] = [{
        "student": "ada", "skill": "sub_3", "wrong": 29, "of": 256, "question": "503-178", "reference": "325",
        "answer": HOSTILE, "reason": "differs from the reference", "grader": "numeric", "confidence": 0.4,
    }]  # fmt: skip
    shown = page(report)
    assert ["sub_329 of 256 wrong", "503-178", "325", HOSTILE, "differs from the referencenumeric"] in [
        [cell.text for cell in row.children] for row in shown.all("tr")
    ]
    assert body(report).count("Still wrong") == 1


def test_a_row_without_a_second_exam_says_so_and_never_zero(report: dict[str, Any]) -> None:
    report["students"][0]["skills"]["add_2"].update(after={}, change=None, lessons=None, trained_tokens=None)
    cells = page(report).row("add_2")
    assert cells[2:4] == ["not measured", "not measured"]
    assert cells[4].endswith("after not measured")
    assert cells[6:] == ["–", "–"]


def test_what_was_not_measured_is_not_a_number(report: dict[str, Any]) -> None:
    facts = {
        pair.children[0].text: pair.children[1].text
        for pair in page(report).all("div")
        if len(pair.children) == 2 and pair.children[0].tag == "dt"
    }
    assert facts["calibration error"] == "not measured"
    assert facts["self-correction, tutor away"] == "not measured"
    assert facts["feedback tokens"] == "–"
    assert facts["preferences"] == "0"


def test_an_exam_that_was_not_sat_gives_its_reason(report: dict[str, Any]) -> None:
    assert "blaise: not sat. the file gsm8k/test.jsonl was not found" in body(report)
    assert page(report).row("covered")[1:3] == ["27.6 %25.9 to 29.5", "79.4 %77.8 to 81.0"]
    assert "This is not GSM8K accuracy." in body(report)


def test_consistency_is_told_where_questions_have_several_wordings(report: dict[str, Any]) -> None:
    suite = next(it for it in report["students"][0]["whole"].values() if it["sat"])
    assert "alike" not in body(report)
    suite["consistency"] = {
        when: {"score": share, "low": 0.2, "high": 0.9, "n": 40, "right_in_all": right}
        for when, share, right in (("before", 0.25, 0.1), ("after", 0.75, 0.7))
    }
    text = body(report)
    assert "ada answered 25.0 % of 40 questions alike in all their wordings before, and 75.0 % after" in text
    assert "Right in all were 10.0 % before, and 70.0 % after." in text


def test_cycles_tell_syllabus_reasons_and_the_gate(report: dict[str, Any]) -> None:
    text = body(report)
    assert "36.7 % on the probe" in text
    assert "sub_1 fell by 10.9 points, more than the 5.0 allowed: rolled back" in text
    told = "of 16 answers that the grader came to pass, the tutor's judge prefers 9 to those of before"
    assert told in text and "the one of before 2 times" in text
    assert "add_3 needs add_2; sub_3 needs sub_2" in text
    badges = [item.text for item in page(report).all("span") if item.attributes.get("class") == "badge refused"]
    assert badges == ["rolled back"]


def test_whatever_an_objective_measures_is_told(report: dict[str, Any]) -> None:
    measured = {"reward": [0.1, 0.9], "loss answers": [2.0, 1.0], "<b>surprise": [0.5, 0.25], "gradient": [3.0, 2.0]}
    report["students"][0]["cycles"][0]["measures"] = measured
    text = body(report)
    assert "reward of practice 0.100 → 0.900" in text
    assert "also measured, over the first and the last tenth of its steps: <b>surprise 0.500 → 0.250" in text
    assert "gradient 3.000 → 2.000" in text
    assert "loss answers" not in text


def test_a_belief_is_shown_with_its_evidence(report: dict[str, Any]) -> None:
    report["students"][0]["mastery"]["add_2"] = {
        "score": 0.885, "low": 0.821, "high": 0.934, "n": 112, "right": 99, "aged": 3.25, "asked": 2,
        "probability": 0.34, "undecided": [0.9],
    }  # fmt: skip
    shown = page(report)
    assert shown.row("add_2", 2)[1:] == ["88.5 %82.1 to 93.4", "34.0 %", "99 of 112", "3.2", "2", "90 %"]
    assert shown.row("add_1", 2)[-1] == "all decided"
    assert body(report).count("What is believed") == 1
    assert "6 skills of 10 decided" in body(report)


def test_what_the_probe_asked_is_told(report: dict[str, Any]) -> None:
    report["students"][0]["cycles"][0]["probe"] = {"asked": 48, "of": 479}
    assert body(report).count("48 of 479 questions asked") == 1


def test_an_auditor_reads_whom_each_lesson_taught_and_for_which_campaign_it_was_made(report: dict[str, Any]) -> None:
    row = {"skill": "add_2", "kind": "replay", "campaign": "first", "asked_by": "tally", "answered_by": "tally",
           "judged_by": "numeric", "license": "BSD", "lessons": 1149,
           "students": {"ada": 1000, "blaise": 149}}  # fmt: skip
    report["lineage"] = [row]
    cells = ["replay", "1,149", "tally", "tally", "numeric", "BSD", "ada 1,000, blaise 149"]
    assert page(report).row("add_2", -1)[1:] == cells
    report["continue_from"] = {"campaign": "first", "digest": "d"}
    assert page(report).row("add_2", -1)[1:] == [*cells[:2], "first", *cells[2:]]


def test_curation_shows_every_reason(report: dict[str, Any]) -> None:
    report["curation"]["rejected"]["haunted"] = 536
    assert page(report).row("rejected: haunted")[1:3] == ["536", "5.0 %"]
    assert page(report).row("kept")[1:3] == ["9,470", "88.3 %"]
    assert "503-178: 13-8=5 #335" in body(report)


def test_limits_name_what_stands_on_somebodys_word(report: dict[str, Any]) -> None:
    report["material"] = [
        {"name": "sums.jsonl", "trusted": 0, "skills": {"add_2": 9}},
        {"name": "chats.jsonl", "trusted": 3, "skills": {"manners": 3}},
    ]
    text = body(report)
    assert "3 lessons of chats.jsonl stood on the word of whoever ran this campaign" in text
    assert "manners was taught from files and not examined" in text
    assert "of sums.jsonl" not in text


def test_limits_name_what_nobody_taught(report: dict[str, Any]) -> None:
    text = body(report)
    assert "add_4 and sub_4 were taught to nobody and expected to fail: ada reached 1.2 % and 0.0 %" in text
    assert "mul_1 has too few items" in text
    assert "this campaign ran once with seed 7" in text
    assert "blaise got worse at mul_1 by 4.3 points" in text


def test_the_auditor_finds_lineage(report: dict[str, Any]) -> None:
    text = body(report)
    for known in (
        "3f9ac1d2e4b7",
        "v1-6b1f02",
        "students/blaise/final",
        "tuition.mastery",
        "d4e5f6",
        "3.11.2",
        "MIT",
    ):
        assert known in text


def test_the_auditor_reads_what_taught_a_skill(report: dict[str, Any]) -> None:
    row = {"skill": "add_3", "kind": "demonstration", "asked_by": "abacus", "answered_by": "sums.jsonl",
           "judged_by": "numeric", "license": "CC-BY-4.0",
           "lessons": 1234, "students": {"ada": 1000, "blaise": 234}}  # fmt: skip
    text = body({**report, "lineage": [row]})
    for known in ("sums.jsonl", "CC-BY-4.0", "1,234", "ada 1,000", "blaise 234"):
        assert known in text


def every_text(value: Any) -> Any:
    """Put a hostile text in the place of every text, keys of foreign mappings included."""
    if isinstance(value, dict):
        return {key: every_text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [every_text(inner) for inner in value]
    return value + HOSTILE if isinstance(value, str) else value


def test_hostile_text_is_escaped_wherever_it_stands(report: dict[str, Any]) -> None:
    hostile = every_text(report)
    for student in hostile["students"]:
        student["skills"] = {name + HOSTILE: found for name, found in student["skills"].items()}
        student["whole"] = {name + HOSTILE: found for name, found in student["whole"].items()}
        for stop in student["curve"]:
            stop["skills"] = {name + HOSTILE: found for name, found in stop["skills"].items()}
    hostile["curation"]["rejected"] = {HOSTILE: 1}
    hostile["time"] = {HOSTILE: 1.0}
    hostile["config"] = {HOSTILE: {HOSTILE: HOSTILE}}
    found = page(hostile)
    assert not found.all("script", "img", "iframe", "object", "embed", "link", "base", "form")
    assert not [name for element in found.elements for name in element.attributes if name.startswith("on")]
    assert HOSTILE in found.all("body")[0].text


def test_an_attempt_keeps_its_text_and_marks_what_differs() -> None:
    attempt, answer = compared("7+8=14 <b> #84", "7+8=15 <b> #85")
    assert attempt == "<del>7+8=14</del> &lt;b&gt; <del>#84</del>"
    assert answer == "<ins>7+8=15</ins> &lt;b&gt; <ins>#85</ins>"


def test_many_examples_are_folded_and_none_is_lost(report: dict[str, Any]) -> None:
    demonstration = report["examples"][1]
    report["examples"] = [{**demonstration, "question": f"{number}*6"} for number in range(10, 19)]
    found = page(report)
    assert [item.text for item in found.all("summary")].count("7 more") == 1
    for number in range(10, 19):
        assert f"Question {number}*6" in found.all("body")[0].text


def test_rehearsals_are_counted_apart(report: dict[str, Any]) -> None:
    assert page(report).row("sub_1")[6] == "0240 rehearsed"


def test_nothing_is_fetched(report: dict[str, Any]) -> None:
    source = render_html(report)
    found = Page(source)
    policy = next(item for item in found.all("meta") if "http-equiv" in item.attributes)
    assert policy.attributes["content"].startswith("default-src 'none'")
    for element in found.elements:
        for name in ("src", "srcset", "href", "xlink:href", "data", "action", "poster", "style"):
            assert element.attributes.get(name, "#").startswith("#"), f"<{element.tag} {name}>"
    style = found.all("style")[0].text
    assert "url(" not in style
    assert "@import" not in style
    assert "//" not in style
    # The reference of a source holds an address: it is shown, and it is text.
    assert "https://arxiv.org/abs/2110.14168" in found.all("body")[0].text


def test_ids_are_unique_and_links_lead_somewhere(report: dict[str, Any]) -> None:
    found = page(report)
    ids = Counter(element.attributes["id"] for element in found.elements if "id" in element.attributes)
    assert max(ids.values()) == 1
    targets = [link.attributes["href"].removeprefix("#") for link in found.all("a")]
    named = [element.attributes.get("aria-labelledby") for element in found.elements]
    assert len(targets) >= 8
    assert set(targets) | {name for name in named if name} <= set(ids)


def test_headings_come_in_order(report: dict[str, Any]) -> None:
    levels = [int(heading.tag[1]) for heading in page(report).all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_drawing_has_a_role_and_a_title(report: dict[str, Any]) -> None:
    drawings = page(report).all("svg")
    assert len(drawings) > 40
    for drawing in drawings:
        assert drawing.attributes["role"] == "img"
        assert drawing.children[0].tag == "title"
        assert drawing.children[0].text


def test_tables_that_scroll_can_be_reached_by_keyboard(report: dict[str, Any]) -> None:
    regions = [item for item in page(report).all("div") if item.attributes.get("class") == "scroll"]
    assert regions
    for region in regions:
        assert region.attributes["tabindex"] == "0"
        assert region.attributes["role"] == "region"
        assert region.attributes["aria-label"]


@pytest.mark.parametrize("key", ["before", "after", "change", "lessons"])
def test_every_key_of_a_skill_may_be_absent(report: dict[str, Any], key: str) -> None:
    for student in report["students"]:
        for skill in student["skills"].values():
            del skill[key]
    assert "quickstart" in body(report)


def test_every_key_may_be_null_or_absent(report: dict[str, Any]) -> None:
    for place in (report, *report["students"], report["tutor"], report["curation"]):
        for key in list(place):
            value = place.pop(key)
            assert page(deepcopy(report)).all("h1"), f"without {key}"
            place[key] = None
            assert page(deepcopy(report)).all("h1"), f"with {key} null"
            place[key] = value


def test_an_empty_report_claims_nothing() -> None:
    source = render_html({"campaign": "empty"})
    found = Page(source)
    assert found.all("h1")[0].text == "empty"
    assert "None" not in source
    assert not re.search(r"\d", found.all("header")[0].text)


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "soft", "before", "after", "lost"])
@pytest.mark.parametrize("ground", ["paper", "card"])
def test_text_has_contrast_in_both_themes(theme: int, ink: str, ground: str) -> None:
    style = render_html({})
    colours = {name: re.findall(rf"--{name}: (#[0-9a-f]{{6}});", style)[theme] for name in (ink, ground)}
    lighter, darker = sorted(map(luminance, colours.values()), reverse=True)
    # 4.5 is what WCAG 2.2 asks of text at level AA.
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), [("after", "tint"), ("lost", "tint-lost"), ("ink", "tint-lost")])
def test_badges_have_contrast_in_both_themes(theme: int, ink: str, ground: str) -> None:
    test_text_has_contrast_in_both_themes(theme, ink, ground)


def test_what_a_student_was_before_is_on_the_page(report: dict[str, Any]) -> None:
    assert "What it was before" not in render_html(report)
    version = {"run": "summer", "date": "2026-07-01", "checkpoint": "ab" * 32, "taught": ["sub_2"],
               "skills": {"sub_2": {"score": 0.875, "low": 0.8, "high": 0.9, "n": 99}}}  # fmt: skip
    report["students"][0]["lineage"] = [version]
    page = render_html(report)
    assert "What it was before" in page and "<code>abababababab</code>" in page and "87.5" in page


def test_items_of_a_whole_exam_that_were_taught_before_are_told(report: dict[str, Any]) -> None:
    suite = next(iter(report["students"][0]["whole"]))
    assert "taught in an earlier campaign" not in render_html(report)
    report["students"][0]["whole"][suite]["left_out"] = 12
    assert f"12 items of {suite} had been taught in an earlier campaign, and are left out." in render_html(report)
