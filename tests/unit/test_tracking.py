from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.making import demonstration, sitting
from tft.config.tracking import MLflowTracking, TensorBoardTracking, WandbTracking
from tft.errors import PrerequisiteError
from tft.ledger import Ledger, Step
from tft.metrics import measure
from tft.records import Checkpoint, Curated, Decision, Offered, Rejection, Syllabus, Usage, dump
from tft.report.files import write_run_files
from tft.running import _name_run
from tft.tracking import Trackers


def test_every_result_is_measured_under_a_name_that_stays() -> None:
    assert measure("examine", "ada", sitting("check", add="110", sub="0")) == {
        "ada/examine/check/all": 0.5, "ada/examine/check/add": 2 / 3, "ada/examine/check/sub": 0.0,
    }  # fmt: skip
    offered = Offered((demonstration("1+1"),), (Rejection("item", "add", "leak", "x"),) * 2, Usage(10, 5, cached=4))
    assert measure("teach", "", offered) == {
        "tutor/teach/lessons": 1, "tutor/teach/refused": 2, "tutor/teach/tutor_tokens": 15,
        "tutor/teach/tutor_tokens_cached": 4,
    }  # fmt: skip
    curated = Curated((demonstration("1+1"), demonstration("1+2")), ())
    assert measure("curate", "ada", curated) == {
        "ada/curate/kept": 2, "ada/curate/refused": 0, "ada/curate/demonstration": 2,
    }  # fmt: skip
    checkpoint = Checkpoint("here", "digest", 100, steps=5, loss_last=0.5, measures={"reward": (0.1, 0.9)})
    assert measure("train", "ada", checkpoint) == {
        "ada/train/tokens": 100, "ada/train/steps": 5, "ada/train/loss": 0.5, "ada/train/reward": 0.9,
    }  # fmt: skip
    # What was not measured is left out.
    assert "ada/train/loss" not in measure("train", "ada", Checkpoint("here", "digest"))
    decision = Decision("ada", 1, False, "it fell", None, ("leak: …",))
    assert measure("reflect", "ada", decision) == {"ada/reflect/promoted": 0, "ada/reflect/findings": 1}
    assert measure("plan", "ada", Syllabus("ada", 1, (), {}, ())) == {}
    assert measure("examine", "ada", sitting("check")) == {}


def test_tensorboard_reads_what_was_logged(tmp_path: Path) -> None:
    trackers = Trackers([TensorBoardTracking()], "smoke", tmp_path, "4f1d", {})
    for cycle, score in ((0, 0.25), (1, 0.75)):
        trackers.log({"ada/examine/check/all": score}, cycle)
    trackers.close()
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("ada/examine/check/all")
    assert [(it.step, it.value) for it in found] == [(0, 0.25), (1, 0.75)]


def test_a_tracker_that_is_not_installed_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tft.tracking.find_spec", lambda name: None if name == "wandb" else name)
    with pytest.raises(PrerequisiteError, match=r"pip install 'tutorial-fine-tuning\[wandb\]'"):
        Trackers([TensorBoardTracking(), WandbTracking()], "smoke", tmp_path, "4f1d", {})


class Broken:
    """A tracker whose server has gone away."""

    def __init__(self) -> None:
        self.asked = 0

    def log(self, metrics: Mapping[str, float], cycle: int) -> None:
        self.asked += 1
        raise ConnectionError(f"nobody takes {metrics} of {cycle}")

    def close(self) -> None:
        raise ConnectionError("nobody is there")


def test_a_tracker_that_fails_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken()
    monkeypatch.setattr("tft.tracking._open", lambda *_: broken)
    trackers = Trackers([TensorBoardTracking()], "smoke", tmp_path, "4f1d", {})
    with caplog.at_level(logging.ERROR):
        trackers.log({"x": 1.0}, 1)
        trackers.log({"x": 1.0}, 1)
    trackers.close()
    assert broken.asked == 1
    assert "Broken failed and is left out" in caplog.text


def test_metrics_are_in_the_events_and_in_a_table(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    exam = sitting("check", add="10")
    ledger.put(Step("key", "examine", "ada", 2, 1.5, dump(exam)), "half", measure("examine", "ada", exam))
    ledger.put(Step("other", "plan", "ada", 2, 0.0, {}))
    write_run_files(tmp_path, ledger, {}, "")
    ledger.close()
    first, second = map(json.loads, (tmp_path / "events.jsonl").read_text().splitlines())
    assert first["metrics"] == {"ada/examine/check/all": 0.5, "ada/examine/check/add": 0.5}
    assert second["metrics"] == {}
    rows = pq.read_table(tmp_path / "metrics.parquet").to_pylist()
    assert [(it["student"], it["cycle"], it["metric"], it["value"]) for it in rows] == [
        ("ada", 2, "ada/examine/check/all", 0.5), ("ada", 2, "ada/examine/check/add", 0.5),
    ]  # fmt: skip


CONFIG = {
    "campaign": "smoke", "seed": 3, "curriculum": "./curricula/mine", "cache": "shared", "continue_from": "first",
    "tutor": {"use": "abacus", "engine": {"url": "http://gpu.example/v1", "key_env": "KEY", "model": "Qwen/Qwen3-8B"}},
    "students": [{"id": "ada", "model": "abacus/novice-a"}, {"id": "bea", "model": "runs/first/students/bea/final"}],
    "material": [{"path": "secret.jsonl", "format": "auto"}], "exams": {"whole": ["grammar", "/data/exam.csv"]},
}  # fmt: skip


class Packages:
    """What W&B and MLflow have of what is used, writing down what they are told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[dict[str, Any]] = []
        self.runs: dict[str, dict[str, Any]] = {}
        run = SimpleNamespace(define_metric=lambda *_, **__: None, log=lambda _: None, finish=lambda: None)

        def init(**told: Any) -> Any:
            self.begun.append(told)
            return run

        monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Settings=SimpleNamespace))
        monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=lambda _: self))
        monkeypatch.setattr("tft.tracking.find_spec", lambda name: name)

    def get_experiment_by_name(self, _: str) -> Any:
        return SimpleNamespace(experiment_id="1")

    def search_runs(self, _: list[str], query: str, max_results: int) -> list[Any]:
        found = [name for name, it in self.runs.items() if query == f"tags.tft_run = '{it['tags']['tft_run']}'"]
        return [SimpleNamespace(info=SimpleNamespace(run_id=name)) for name in found[:max_results]]

    def create_run(self, _: str, run_name: str, tags: dict[str, str]) -> Any:
        name = f"{run_name} {len(self.runs)}"
        self.runs[name] = {"tags": tags, "status": "RUNNING", "params": {}}
        return SimpleNamespace(info=SimpleNamespace(run_id=name))

    def update_run(self, name: str, status: str) -> None:
        self.runs[name]["status"] = status

    def log_param(self, name: str, key: str, value: Any) -> None:
        self.runs[name]["params"][key] = value

    def set_terminated(self, name: str) -> None:
        self.runs[name]["status"] = "FINISHED"


def test_a_run_directory_is_one_run_of_a_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = Packages(monkeypatch)
    for run in ("4f1d", "4f1d", "90aa"):
        Trackers([WandbTracking(), MLflowTracking()], "smoke", tmp_path, run, CONFIG).close()
    assert [it["id"] for it in packages.begun] == ["smoke-4f1d", "smoke-4f1d", "smoke-90aa"]
    assert list(packages.runs) == ["smoke 0", "smoke 1"]
    assert all(it["status"] == "FINISHED" for it in packages.runs.values())


def test_no_place_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = Packages(monkeypatch)
    Trackers([WandbTracking(), MLflowTracking()], "smoke", tmp_path, "4f1d", CONFIG).close()
    assert packages.begun[0]["config"] == {
        "campaign": "smoke", "seed": 3,
        "tutor": {"use": "abacus", "engine": {"model": "Qwen/Qwen3-8B"}},
        "students": [{"id": "ada", "model": "abacus/novice-a"}, {"id": "bea"}],
        "material": [{"format": "auto"}], "exams": {"whole": ["grammar"]},
    }  # fmt: skip
    assert packages.begun[0]["settings"].x_disable_meta
    assert packages.runs["smoke 0"]["params"] == {"campaign": "smoke", "seed": 3}


def test_every_run_directory_has_a_name_of_its_own(tmp_path: Path) -> None:
    ledgers = [Ledger(tmp_path / name) for name in ("first", "again")]
    first, again = map(_name_run, ledgers)
    assert first != again and _name_run(ledgers[0]) == first
    for ledger in ledgers:
        ledger.close()
