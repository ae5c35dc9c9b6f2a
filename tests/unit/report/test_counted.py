from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest

from tests.making import setting, sitting
from tft.ledger import Ledger, Step
from tft.records import Offered, Usage, dump
from tft.report import build_report

SETTING = setting("counted", price=None)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path)
    ledger.set_fact("setting", SETTING)
    yield ledger
    ledger.close()


def test_money_is_counted_as_the_budget_counts_it(ledger: Ledger) -> None:
    used = Usage(prompt=1_000_000, completion=300_000, scored=200_000, cached=900_000)
    ledger.put(Step("key", "teach", "", 0, 1.0, dump(Offered((), (), used))))
    assert build_report(ledger)["tutor"]["money"] is None
    setting = deepcopy(SETTING)
    setting["tutor"]["price"] = {"prompt": 0.5, "completion": 2.0}
    ledger.set_fact("setting", setting)
    assert build_report(ledger)["tutor"]["money"] == 1.5


def test_failures_are_those_of_the_checkpoint_that_was_kept(ledger: Ledger) -> None:
    for cycle, marks in ((0, "0000"), (1, "1101")):
        ledger.put(Step(f"final {cycle}", "examine", "ada", cycle, 1.0, dump(sitting("final", add=marks))))
    unfinished = build_report(ledger)
    assert unfinished["failures"] == []
    assert "has not ended" in unfinished["next"][0]
    ledger.set_fact("outcome/ada", {"stopped_because": "cycles", "promoted_digest": "d", "checkpoint": "c"})
    ended = build_report(ledger)
    assert [(it["skill"], it["question"], it["wrong"], it["of"]) for it in ended["failures"]] == [
        ("add", "add 2", 1, 4)
    ]
    assert "`tuition.cycles`" in ended["next"][0]


def test_sources_name_what_the_campaigns_before_were_taught_from(ledger: Ledger) -> None:
    rows = {"name": "sums.jsonl", "license": "CC0-1.0", "digest": "s", "reference": None}
    before = {"campaign": "first", "tutor": {**SETTING["tutor"], "id": "tally", "fingerprint": "t"},
              "curriculum": SETTING["curriculum"], "material": [rows]}  # fmt: skip
    ledger.set_fact("setting", {**SETTING, "before": [before]})
    assert [(it["what"], it["name"], it["campaign"]) for it in build_report(ledger)["sources"]] == [
        ("tutor", "abacus", "counted"), ("curriculum", "arithmetic", "counted"),
        ("tutor", "tally", "first"), ("material", "sums.jsonl", "first"),
    ]  # fmt: skip
