from __future__ import annotations

from typing import Any

from tft.report.limits import limits
from tft.report.next_steps import next_steps


def stop(report: dict[str, Any], *reasons: str | None) -> None:
    for student, reason in zip(report["students"], reasons, strict=True):
        student["stopped_because"] = reason


def test_a_campaign_that_goes_on_says_how(report: dict[str, Any]) -> None:
    stop(report, "mastery", None)
    assert next_steps(report)[0].endswith("`tft run` with the same config goes on where it stopped.")
    assert not any("tft export" in it for it in next_steps(report))


def test_a_budget_is_raised_by_what_the_cycles_left_would_take(report: dict[str, Any]) -> None:
    stop(report, "budget", "budget")
    report["limit_reached"] = "budget.tutor_tokens: 256 requests may use 18696 tokens, 12058 are left"
    # Two of four cycles were taught with the tutor.
    for student in report["students"]:
        for place, cycle in enumerate(student["cycles"]):
            cycle["syllabus"] = [{"skill": "add_2", "kind": "demonstration" if place < 2 else "replay", "lessons": 9}]
    (first, *_) = next_steps(report)
    assert "`budget.tutor_tokens` from 2,000,000 to about 4,000,000" in first
    report["config"]["budget"]["hours"], report["limit_reached"] = 0.5, "budget.hours: 0.5 hours are over"
    assert "`budget.hours` from 0.5 to about 1," in next_steps(report)[0]


def test_cycles_are_raised_by_what_the_pace_asks_for(report: dict[str, Any]) -> None:
    stop(report, "cycles", "mastery")
    report["students"][0]["final_mean"] = {"before": 0.1, "after": 0.5}
    first, second, *_ = next_steps(report)
    assert first.startswith("All cycles are done and ada had not mastered everything")
    assert "`tuition.cycles` from 4 to 8" in first
    assert "`tft export RUN blaise`" in second
    report["students"][0]["final_mean"] = {"before": 0.1, "after": 0.7}
    assert "from 4 to 6" in next_steps(report)[0]
    report["students"][0]["final_mean"] = {"before": None, "after": None}
    assert "from 4 to 5" in next_steps(report)[0]


def test_a_plateau_names_the_skills_and_what_to_try(report: dict[str, Any]) -> None:
    stop(report, "plateau", "mastery")
    (said,) = [it for it in next_steps(report) if "no better" in it]
    assert said.startswith("ada got no better at sub_3: raise `tuition.lessons` (now 1,200)")


def test_what_was_refused_is_named_where_no_lesson_was_left(report: dict[str, Any]) -> None:
    stop(report, "no_lessons", "mastery")
    assert "1,250 of 10,720 were refused, most of them as `duplicate`" in next_steps(report)[0]
    report["curation"]["rejected"] = {"wrong": 0}
    assert "nothing to teach ada" in next_steps(report)[0]


def test_answers_that_were_cut_off_come_first_with_what_lets_them_end(report: dict[str, Any]) -> None:
    report["config"]["exams"] = {"max_tokens": 64}
    for student in report["students"]:
        student["cut_off"] = {"before": 0.5, "after": None}
    assert not any("cut off" in it for it in [*next_steps(report), *limits(report)])
    report["students"][0]["cut_off"] = {"before": 0.94, "after": 0.02}
    said = next_steps(report)[0].replace("\xa0", " ")
    assert said.startswith("Most answers of ada (94 % before tuition) were cut off before their end")
    assert said.endswith(
        "raise `exams.max_tokens` (now 64), or, for a model that thinks before it answers, write "
        "`template: {enable_thinking: false}`."
    )
    assert "what it gained may be that it learned to answer in fewer tokens" in limits(report)[0]
    # It has been told not to think already.
    report["config"]["students"][0]["template"] = {"enable_thinking": False}
    report["students"][0]["cut_off"]["after"] = 0.75
    said = next_steps(report)[0].replace("\xa0", " ")
    assert "ada (94 % before tuition and 75 % after tuition)" in said
    assert said.endswith("raise `exams.max_tokens` (now 64).")
    assert "75 % of ada's answers" in limits(report)[1].replace("\xa0", " ")


def test_answers_that_were_too_long_to_be_taught_are_told(report: dict[str, Any]) -> None:
    assert "too_long" not in " ".join(next_steps(report))
    report["curation"]["rejected"]["too_long"] = 12
    report["config"]["exams"] = {"max_tokens": 64}
    (said,) = [it for it in next_steps(report) if "too_long" in it]
    assert said.startswith("12 lessons had an answer longer than a student's may be")
    assert "raise `exams.max_tokens` (now 64)" in said
    # Rows of files have a limit of their own.
    report["material"] = [{"rejected": {"too_long": 12}}, {"rejected": {}}]
    assert "too_long" not in " ".join(next_steps(report))
    report["curation"]["rejected"]["too_long"] = 13
    assert "1 lesson had" in " ".join(next_steps(report))
    report["config"]["tuition"]["methods"] = "feedback"
    assert "too_long" not in " ".join(next_steps(report))


def test_what_fell_and_what_was_not_sat_is_told(report: dict[str, Any]) -> None:
    said = " ".join(next_steps(report))
    assert "blaise at mul_1 (by 4.3 points): raise `tuition.replay` (now 0.25)" in said
    assert "the file gsm8k/test.jsonl was not found" in said and "`TFT_DATA`" in said
    assert "`tft examine RUN/students/ada/final --suite gsm8k_calculator_steps`" in said
    report["config"]["exams"] = {"whole": ["cards/gsm8k_calculator_steps.yaml"]}
    assert "--suite cards/gsm8k_calculator_steps.yaml`" in " ".join(next_steps(report))
    report["config"]["exams"]["max_tokens"] = 2048
    assert "--suite cards/gsm8k_calculator_steps.yaml --max-tokens 2048`" in " ".join(next_steps(report))
    report["students"][1]["whole"]["gsm8k_calculator_steps"]["reason"] = "the judge said nothing"
    assert "TFT_DATA" not in " ".join(next_steps(report))


def test_what_waits_is_told_with_what_lets_it_in(report: dict[str, Any]) -> None:
    report["students"][0]["cycles"][-1]["waiting"] = {"sub_3": "needs sub_2"}
    (said,) = [it for it in next_steps(report) if "waiting" in it]
    assert "sub_3 needs sub_2 (ada); more `tuition.cycles` (now 4) or a lower `tuition.ready` lets them in" in said
    report["students"][0]["cycles"][-1]["waiting"] = {"sub_3": "the tutor's tokens go further elsewhere"}
    (said,) = [it for it in next_steps(report) if "waiting" in it]
    assert "more `budget.tutor_tokens` (now 2,000,000)" in said


def test_more_questions_are_asked_for_where_mastery_is_undecided(report: dict[str, Any]) -> None:
    report["config"]["exams"] = {"check": 128}
    belief = report["students"][0]["mastery"]["add_3"]
    belief.update(score=0.92, low=0.88, high=0.96, undecided=[0.9])
    for name in ("sub_3", "mul_2x1"):
        report["students"][0]["mastery"][name]["undecided"] = []
    (said,) = [it for it in next_steps(report) if "exams.check" in it]
    assert "whether ada has mastered add_3: raise `exams.check` from 128 to 512" in said
    belief.update(score=0.93, low=0.89, high=0.97)
    assert "from 128 to 256" in " ".join(next_steps(report))


def test_a_student_that_is_too_sure_gets_a_bar(report: dict[str, Any]) -> None:
    shares = [(1.0, 0.6, 0.1), (0.75, 0.8, 0.7), (0.5, 0.95, 0.985)]
    report["students"][0]["calibration"] = {
        "ece": 0.2, "confidence": 0.8, "base_rate": 0.6,
        "abstention": [{"answered": it, "right": right, "from_confidence": bar} for it, right, bar in shares],
    }  # fmt: skip
    report["students"][1]["whole"], report["students"][0]["mastery"] = {}, {}
    said = " ".join(next_steps(report)).replace("\xa0", " ")
    assert "ada (80 % sure, 60 % right; 95 % from a confidence of 0.985 on) is surer than it is right" in said
    report["students"][0]["calibration"]["base_rate"] = 0.75
    assert "surer" not in " ".join(next_steps(report))


def test_it_is_short_and_claims_nothing_of_an_empty_report(report: dict[str, Any]) -> None:
    stop(report, "budget", "plateau")
    report["students"][0]["cycles"][-1]["waiting"] = {"sub_3": "needs sub_2"}
    assert len(next_steps(report)) == 5
    assert all(it.count("`") >= 2 and it.endswith(".") for it in next_steps(report))
    assert next_steps({"campaign": "empty"}) == []
    assert next_steps({"students": [{"id": "ada"}]})
