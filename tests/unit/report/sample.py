"""A realistic report for the tests: two students, one rolled-back cycle, nulls where nothing was measured."""

from __future__ import annotations

from typing import Any

from tft.statistics import holm, mcnemar, paired_difference, wilson_interval

N = 256
SKILLS = [
    ("add_1", "adding single digits", "retention", []),
    ("sub_1", "subtracting single digits", "retention", []),
    ("mul_1", "multiplying single digits", "retention", []),
    ("add_2", "adding up to two digits", "taught", ["add_1"]),
    ("sub_2", "subtracting up to two digits", "taught", ["sub_1"]),
    ("add_3", "adding up to three digits", "taught", ["add_2"]),
    ("sub_3", "subtracting up to three digits", "taught", ["sub_2"]),
    ("mul_2x1", "multiplying two digits by one", "taught", ["mul_1", "add_1"]),
    ("add_4", "adding up to four digits", "stretch", []),
    ("sub_4", "subtracting up to four digits", "stretch", []),
]
ADA = {  # right answers of 256: before, then the check after each cycle (of 128), then after
    "add_1": (255, (128, 127, 126, 127), 254, 0),
    "sub_1": (252, (126, 124, 110, 125), 249, 0),
    "mul_1": (250, (125, 124, 121, 124), 247, 0),
    "add_2": (92, (47, 120, 124, 126), 251, 900),
    "sub_2": (60, (31, 112, 118, 123), 246, 1150),
    "add_3": (11, (6, 20, 109, 118), 238, 1200),
    "sub_3": (5, (2, 9, 98, 113), 227, 1200),
    "mul_2x1": (44, (21, 108, 117, 119), 240, 1020),
    "add_4": (0, (0, 0, 1, 2), 3, 0),
    "sub_4": (0, (0, 0, 0, 0), 0, 0),
}
BLAISE = {
    "add_1": (254, (127, 127, 126), 253, 0),
    "sub_1": (255, (128, 127, 127), 254, 0),
    "mul_1": (247, (123, 121, 119), 236, 0),
    "add_2": (241, (121, 126, 127), 254, 140),
    "sub_2": (233, (117, 125, 126), 252, 260),
    "add_3": (31, (15, 104, 121), 244, 1200),
    "sub_3": (18, (10, 97, 119), 239, 1200),
    "mul_2x1": (0, (0, 99, 116), 235, 1200),
    "add_4": (0, (0, 2, 5), 11, 0),
    "sub_4": (0, (0, 1, 2), 4, 0),
}


def score(right: int, n: int) -> dict[str, Any]:
    low, high = wilson_interval(right, n)
    return {"score": right / n, "low": low, "high": high, "n": n}


def change(before: int, after: int, n: int) -> dict[str, float]:
    first = [index < before for index in range(n)]
    second = [index < after for index in range(n)]
    value, low, high = paired_difference(first, second)
    return {"value": value, "low": low, "high": high, "p": mcnemar(first, second)}


def sample_report() -> dict[str, Any]:
    """Give a fresh report, safe to change."""
    return {
        "schema": 1,
        "version": "0.1.0",
        "campaign": "quickstart",
        "seed": 7,
        "seconds": 437.6,
        "cycles": 3,
        "stopped_because": "mastery",
        "skills": [
            {"name": name, "title": title, "role": role, "needs": needs, "examined_whole": name == "mul_1"}
            for name, title, role, needs in SKILLS
        ],
        "tutor": {
            "id": "abacus",
            "model": "abacus/tutor",
            "engine": "transformers",
            "fingerprint": "3f9ac1d2e4b7",
            "prompts": {"author": "v1-6b1f02", "critic": "v1-90aa1c", "demonstrator": "v1-44d0e9"},
            "tokens": {
                "prompt": 91_204,
                "completion": 312_551,
                "scored": 0,
                "total": 403_755,
                "of_which_cached": 137_277,
            },
        },
        "students": [_ada(), _blaise()],
        "curation": {
            "offered": 10_720,
            "kept": 9_470,
            "rejected": {"wrong": 412, "duplicate": 655, "leak": 121, "off_skill": 38, "unreadable": 24},
            "examples": [
                {
                    "kind": "demonstration",
                    "skill": "sub_3",
                    "reason": "wrong",
                    "text": "503-178: 13-8=5 #335",
                },
                {"kind": "demonstration", "skill": "add_2", "reason": "leak", "text": "27+58: #85"},
                {"kind": "critique", "skill": "mul_2x1", "reason": "unreadable", "text": "step 2 2 2 2"},
            ],
        },
        "examples": _examples(),
        "time": {"tutor": 148.2, "train": 301.9, "examine": 96.4, "orchestrate": 5.1},
        "config": {
            "campaign": "quickstart",
            "seed": 7,
            "tutor": {"use": "abacus", "model": None},
            "students": [{"id": "ada", "adapter": {"type": "lora", "r": 16}}, {"id": "blaise"}],
            "tuition": {"cycles": 4, "mastery": 0.9, "lessons": 1200, "replay": 0.25},
            "budget": {"tutor_tokens": 2_000_000, "hours": None},
        },
        "environment": {"python": "3.11.2", "platform": "Linux x86_64", "torch": "2.13.0", "tft": "0.1.0"},
        "sources": [
            {
                "what": "curriculum",
                "campaign": "second",
                "name": "arithmetic",
                "license": "Apache-2.0",
                "digest": "a1b2c3",
                "reference": None,
            },
            {
                "what": "whole exam",
                "campaign": "second",
                "name": "gsm8k_calculator_steps",
                "license": "MIT",
                "digest": "d4e5f6",
                "reference": "Cobbe et al. 2021, https://arxiv.org/abs/2110.14168",
            },
        ],
    }


def _skills(marks: dict[str, tuple[int, tuple[int, ...], int, int]]) -> dict[str, Any]:
    changes = [change(before, after, N) for before, _, after, _ in marks.values()]
    corrected = holm([it["p"] for it in changes])
    return {
        name: {
            "taught": lessons > 0,
            "lessons": lessons,
            "rehearsed": 240 if name == "sub_1" else 0,
            "trained_tokens": lessons * 37,
            "before": score(before, N),
            "after": score(after, N),
            "change": {**changed, "p_holm": p},
        }
        for (name, (before, _, after, lessons)), changed, p in zip(marks.items(), changes, corrected, strict=True)
    }


def _belief(right: int, aged: float) -> dict[str, Any]:
    return {
        **score(right, 128), "right": right, "aged": aged, "asked": 3, "probability": right / 128,
        "undecided": [0.9] if 110 < right < 121 else [],
    }  # fmt: skip


def _curve(marks: dict[str, tuple[int, tuple[int, ...], int, int]], refused: set[int]) -> list[dict[str, Any]]:
    cycles = len(next(iter(marks.values()))[1])
    return [
        {
            "cycle": cycle,
            "promoted": cycle not in refused,
            "skills": {name: score(checks[cycle], 128) for name, (_, checks, _, _) in marks.items()},
        }
        for cycle in range(cycles)
    ]


def _mean(marks: dict[str, tuple[int, tuple[int, ...], int, int]], index: int) -> float:
    taught = [marks[name] for name, _, role, _ in SKILLS if role == "taught"]
    return sum(int(mark[0] if index == 0 else mark[2]) for mark in taught) / (len(taught) * N)


def _exam(total: tuple[int, int, int], groups: dict[str, tuple[int, int, int]]) -> dict[str, Any]:
    def both(before: int, after: int, n: int) -> dict[str, Any]:
        return {"before": score(before, n), "after": score(after, n), "change": change(before, after, n)}

    return {
        "sat": True,
        "reason": None,
        "caption": "Single calculator steps of the GSM8K test set. This is not GSM8K accuracy.",
        **both(*total),
        "groups": {name: both(*numbers) for name, numbers in groups.items()},
    }


def _ada() -> dict[str, Any]:
    return {
        "id": "ada",
        "model": "abacus/novice-a",
        "adapter": "lora",
        "trainable_share": 0.1234,
        "promoted_cycle": 3,
        "stopped_because": "mastery",
        "final_mean": {"before": _mean(ADA, 0), "after": _mean(ADA, 1)},
        "skills": _skills(ADA),
        "mastery": {
            name: _belief(check[-1], aged=4.5 if name == "sub_3" else 0.0) for name, (_, check, _, _) in ADA.items()
        },
        "curve": _curve(ADA, refused={2}),
        "cycles": [
            {
                "cycle": 1,
                "syllabus": [
                    {
                        "skill": "add_2",
                        "kind": "demonstration",
                        "lessons": 900,
                        "reason": "36.7 % on the probe",
                    },
                    {
                        "skill": "mul_2x1",
                        "kind": "demonstration",
                        "lessons": 900,
                        "reason": "16.4 % on the probe",
                    },
                ],
                "waiting": {"add_3": "needs add_2", "sub_3": "needs sub_2"},
                "mastered": ["add_1", "sub_1", "mul_1"],
                "offered": 2_050,
                "kept": 1_800,
                "trained_tokens": 66_600,
                "loss_first": 1.204,
                "loss_last": 0.131,
                "promoted": True,
                "decision": "taught skills rose by 41.2 points, the largest drop was 1.6 points",
                "second_opinion": {"asked": 16, "earlier": 2, "later": 9},
            },
            {
                "cycle": 2,
                "syllabus": [
                    {
                        "skill": "add_3",
                        "kind": "critique",
                        "lessons": 300,
                        "reason": "its prerequisite is mastered",
                    },
                ],
                "waiting": {},
                "mastered": ["add_1", "mul_1"],
                "offered": 1_400,
                "kept": 1_211,
                "trained_tokens": 44_807,
                "loss_first": 0.72,
                "loss_last": 0.09,
                "promoted": False,
                "decision": "sub_1 fell by 10.9 points, more than the 5.0 allowed: rolled back",
            },
            {
                "cycle": 3,
                "syllabus": [
                    {
                        "skill": "add_3",
                        "kind": "demonstration",
                        "lessons": 1200,
                        "reason": "85.2 % on the check",
                    },
                    {
                        "skill": "sub_1",
                        "kind": "replay",
                        "lessons": 240,
                        "reason": "rehearsed: it fell in cycle 2",
                    },
                ],
                "waiting": {},
                "mastered": ["add_1", "mul_1", "add_2"],
                "offered": 2_480,
                "kept": 2_219,
                "trained_tokens": 82_103,
                "loss_first": 0.64,
                "loss_last": None,
                "promoted": True,
                "decision": "nothing fell by more than 0.8 points",
            },
        ],
        "whole": {
            "gsm8k_calculator_steps": _exam(
                (702, 1966, 4282),
                {
                    "covered": (651, 1871, 2355),
                    "covered, single digits": (604, 611, 629),
                    "uncovered": (51, 95, 1927),
                },
            )
        },
        "retention": {"worst_drop": {"skill": "sub_1", "value": 3 / N, "low": -0.0051, "high": 0.0302}},
        "calibration": {"ece": 0.041},
        "self_correction": {"first": 0.61, "revised": 0.7225, "n": 128},
        "lessons": {
            "demonstration": 4_170,
            "critique": 1_060,
            "preference": 0,
            "replay": 240,
            "feedback_tokens": None,
        },
        "trained_tokens": 193_510,
        "checkpoint": "students/ada/final",
    }


def _blaise() -> dict[str, Any]:
    return {
        "id": "blaise",
        "model": "abacus/novice-b",
        "adapter": "full",
        "trainable_share": 1.0,
        "promoted_cycle": 2,
        "stopped_because": "mastery",
        "final_mean": {"before": _mean(BLAISE, 0), "after": _mean(BLAISE, 1)},
        "skills": _skills(BLAISE),
        "mastery": {},
        "curve": _curve(BLAISE, refused=set()),
        "cycles": [
            {
                "cycle": 1,
                "syllabus": [
                    {
                        "skill": "mul_2x1",
                        "kind": "demonstration",
                        "lessons": 1200,
                        "reason": "0.0 % on the probe",
                    }
                ],
                "waiting": {"add_3": "needs add_2"},
                "mastered": ["add_2"],
                "offered": 1_310,
                "kept": 1_199,
                "trained_tokens": 44_363,
                "loss_first": 1.41,
                "loss_last": 0.16,
                "promoted": True,
                "decision": "taught skills rose by 52.7 points",
            },
            {
                "cycle": 2,
                "syllabus": [],
                "waiting": {},
                "mastered": ["add_2", "sub_2"],
                "offered": 0,
                "kept": 0,
                "trained_tokens": 0,
                "loss_first": None,
                "loss_last": None,
                "promoted": True,
                "decision": "every taught skill is mastered",
            },
        ],
        "whole": {
            "gsm8k_calculator_steps": {
                "sat": False,
                "reason": "the file gsm8k/test.jsonl was not found",
                "caption": None,
                "before": None,
                "after": {},
                "change": None,
                "groups": {},
            }
        },
        "retention": {
            "worst_drop": {
                "skill": "mul_1",
                **{k: -v for k, v in change(247, 236, N).items() if k == "value"},
                "low": 0.0187,
                "high": 0.0752,
            },
        },
        "calibration": {"ece": None},
        "self_correction": {"first": None, "revised": None, "n": None},
        "lessons": {
            "demonstration": 3_120,
            "critique": 880,
            "preference": 0,
            "replay": 240,
            "feedback_tokens": None,
        },
        "trained_tokens": 148_000,
        "checkpoint": "students/blaise/final",
    }


def _examples() -> list[dict[str, Any]]:
    return [
        {
            "student": "ada",
            "cycle": 2,
            "kind": "critique",
            "skill": "add_2",
            "question": "27+58",
            "attempt": "7+8=14 2+5+1=8 #84",
            "critique": "step 1: 7+8=15, not 14",
            "answer": "7+8=15 2+5+1=8 #85",
        },
        {
            "student": "blaise",
            "cycle": 1,
            "kind": "demonstration",
            "skill": "mul_2x1",
            "question": "47*6",
            "attempt": None,
            "critique": None,
            "answer": "7*6=42 4*6=24 24+4=28 #282",
        },
        {
            "student": "ada",
            "cycle": 3,
            "kind": "replay",
            "skill": "sub_1",
            "question": "9-4",
            "attempt": None,
            "critique": None,
            "answer": "9-4=5 #5",
        },
    ]
