from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from click.testing import CliRunner, Result

from tft import __version__, running
from tft.cli import main
from tft.errors import BudgetError, PrerequisiteError, Problem, StageError, UserError
from tft.ledger import Ledger
from tft.library import Library

SOUND = ("--set", "tutor.model=abacus/novice-a")
"""Settings with which the shipped configs need no tutor of their own."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def tft(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_help_answers_in_half_a_second() -> None:
    best = 60.0
    for _ in range(6):
        start = time.monotonic()
        done = subprocess.run([sys.executable, "-m", "tft", "--help"], capture_output=True, text=True, check=True)
        best = min(best, time.monotonic() - start)
        if best < 0.5:
            break
    assert "validate" in done.stdout
    assert best < 0.5


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_explains_itself(command: str) -> None:
    found = tft(command, "--help")
    assert found.exit_code == 0
    assert main.commands[command].help
    for parameter in main.commands[command].params:
        assert isinstance(parameter, click.Argument) or parameter.help


def test_version() -> None:
    assert tft("version").stdout.strip() == __version__
    assert __version__ in tft("--version").stdout


@pytest.mark.parametrize(
    "arguments", [("frobnicate",), ("run",), ("run", "smoke", "--frob"), ("examine", "m", "--items", "0")]
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    found = tft(*arguments)
    assert found.exit_code == 2
    assert "Traceback" not in found.output


@pytest.mark.parametrize("arguments", [
    ("run", "quickstrt"), ("validate", "quickstrt"), ("report", "nowhere"), ("init", "No Name"),
    ("examine", "abacus/novice-a", "--curriculum", "aritmetic"), ("examine", "abacus/novice-a", "--suite", "x"),
    ("examine", "./nowhere"),
])  # fmt: skip
def test_a_wrong_name_is_exit_code_2_with_the_name_and_a_remedy(arguments: tuple[str, ...]) -> None:
    found = tft(*arguments)
    assert found.exit_code == 2
    assert f"(got {arguments[-1]})\n    " in found.output
    assert "Traceback" not in found.output


def test_ls_lists_what_ships() -> None:
    listed = json.loads(tft("ls", "--json").stdout)
    assert "adds" in listed["tutors"]["abacus"]
    assert listed["curricula"]["arithmetic"]
    assert listed["exam suites"]["gsm8k_calculator_steps"]
    assert listed["configs"]["quickstart"] == "abacus teaches ada, blaise arithmetic"
    assert "abacus" in tft("ls").stdout


def test_ls_says_which_card_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "torn.yaml").write_text("a: [")
    assert "is not YAML" in json.loads(tft("ls", "--json").stdout)["exam suites"]["torn"]


def test_the_schema_is_a_json_schema_and_documents_every_field() -> None:
    schema = json.loads(tft("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    for name, part in {"": schema, **schema["$defs"]}.items():
        for field, described in part.get("properties", {}).items():
            assert described.get("description"), f"{name}.{field}"


def test_the_schema_takes_the_shipped_configs_and_refuses_an_unknown_key() -> None:
    import yaml

    from tft.library import shipped

    validator = jsonschema.Draft202012Validator(json.loads(tft("schema").stdout))
    configs = sorted((shipped() / "configs").glob("*.yaml"))
    assert configs
    for path in configs:
        values = yaml.safe_load(path.read_text())
        assert list(validator.iter_errors(values)) == []
        assert list(validator.iter_errors({**values, "sed": 7}))


def test_init_writes_a_campaign_that_validates_and_overwrites_nothing(tmp_path: Path) -> None:
    made = tft("init", "mine")
    assert (made.exit_code, made.stdout) == (0, "mine.yaml\n")
    checked = tft("validate", "mine.yaml", *SOUND, "--json")
    assert (checked.exit_code, json.loads(checked.stdout)["errors"]) == (0, [])
    text = (tmp_path / "mine.yaml").read_text()
    again = tft("init", "mine")
    assert (again.exit_code, (tmp_path / "mine.yaml").read_text()) == (2, text)
    assert "is there already" in again.stderr


def test_init_prefers_configs_and_goes_where_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    assert tft("init", "mine").stdout == "configs/mine.yaml\n"
    assert tft("init", "mine", "--dir", "a/b").stdout == "a/b/mine.yaml\n"


def test_validate_prints_what_the_names_became() -> None:
    found = tft("validate", "smoke", *SOUND)
    assert found.exit_code == 0
    assert "teaches add_2" in found.stdout and "at most" in found.stdout
    record = json.loads(tft("validate", "smoke", *SOUND, "--json").stdout)
    assert set(record) == {"errors", "warnings", "resolved", "estimate"}


def test_validate_lists_errors_in_the_form_of_the_design() -> None:
    found = tft("validate", "smoke", *SOUND, "--set", "sed=7", "--json")
    (error,) = json.loads(found.stdout)["errors"]
    assert found.exit_code == 2
    assert set(error) == {"file", "key", "value", "message", "remedy"}
    assert (error["key"], error["value"]) == ("sed", "7")
    assert "1 problem;" in tft("validate", "smoke", *SOUND, "--set", "sed=7").stdout


def failing(error: BaseException) -> Any:
    def run_campaign(*_: object) -> None:
        raise error

    return run_campaign


@pytest.mark.parametrize(("error", "code", "said"), [
    (StageError("the stage fell"), 1, "the stage fell"),
    (BudgetError("no tokens"), 1, "no tokens"),
    (UserError(Problem("is wrong", "a.yaml", "b.c", "7", "write 8")), 2, "a.yaml: b.c: is wrong (got 7)\n    write 8"),
    (PrerequisiteError("no Ray"), 3, "no Ray"),
    (ExceptionGroup("tasks", [ValueError(), ExceptionGroup("inner", [PrerequisiteError("deep")])]), 3, "deep"),
    (KeyboardInterrupt(), 130, "interrupted; the same command continues it"),
])  # fmt: skip
def test_run_exits_as_its_error_says(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "run_campaign", failing(error))
    found = tft("run", "smoke", *SOUND)
    assert (found.exit_code, found.stdout) == (code, "")
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_the_unexpected_leaves_its_traceback_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "run_campaign", failing(ZeroDivisionError("planted")))
    (tmp_path / "runs" / "smoke").mkdir(parents=True)
    found = tft("run", "smoke", *SOUND)
    assert found.exit_code == 1
    assert "unexpected ZeroDivisionError: planted" in found.stderr
    assert "Traceback" not in found.stderr
    (path,) = (tmp_path / "runs" / "smoke" / "logs").iterdir()
    assert str(path) in found.stderr
    assert "ZeroDivisionError" in path.read_text()
    monkeypatch.setenv("TFT_TRACEBACK", "1")
    assert "Traceback" in tft("run", "smoke", *SOUND).stderr


def test_run_validates_first_and_prints_every_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "run_campaign", failing(AssertionError("ran")))
    found = tft("run", "smoke", *SOUND, "--set", "sed=7", "--set", "tuition.cycles=many")
    assert (found.exit_code, found.stdout) == (2, "")
    assert "sed: unknown key" in found.stderr
    assert "tuition.cycles: must be a whole number" in found.stderr
    as_json = tft("run", "smoke", *SOUND, "--set", "sed=7", "--json")
    assert json.loads(as_json.stdout)["errors"][0]["key"] == "sed"


def test_run_prints_data_on_stdout_and_progress_on_stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_campaign(_path: Path, _overrides: object, folder: Path, watch: Any) -> None:
        watch.ended("probe", "ada", 1, 2.0, "3 of 4 right")
        folder.mkdir(exist_ok=True)
        (folder / "report.json").write_text(json.dumps({"schema": 1, "campaign": "smoke", "students": []}))
        (folder / "report.html").write_text("")

    monkeypatch.setattr(running, "run_campaign", run_campaign)
    found = tft("run", "smoke", *SOUND, "--out", "out")
    assert found.exit_code == 0, found.output
    assert f"report card: {tmp_path}/out/report.html" in found.stdout
    assert "3 of 4 right" in found.stderr
    as_json = tft("run", "smoke", *SOUND, "--out", "out", "--json")
    assert json.loads(as_json.stdout)["campaign"] == "smoke"
    assert json.loads(as_json.stderr)["note"] == "3 of 4 right"


def test_a_fork_goes_beside_and_the_same_command_continues_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_campaign(path: Path, overrides: tuple[str, ...], folder: Path, _watch: Any) -> None:
        begun.append(folder.name)
        ledger = Ledger(folder)
        prepared = running.prepare(running.read_campaign(path, overrides), Library(path.parent), folder)
        ledger.set_fact("identity", prepared.identity())
        ledger.close()
        raise KeyboardInterrupt

    begun: list[str] = []
    monkeypatch.setattr(running, "run_campaign", run_campaign)
    (tmp_path / "runs" / "smoke-3").mkdir(parents=True)
    for seed in ("1", "2", "2", "3", "2", "3"):
        found = tft("run", "smoke", *SOUND, "--set", f"seed={seed}", *([] if seed == "1" else ["--fork"]))
        assert "the same command continues it" in found.stderr
    assert begun == ["smoke", "smoke-2", "smoke-2", "smoke-4", "smoke-2", "smoke-4"]


def test_report_finds_a_run_below_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Ledger(tmp_path / "runs" / "mine").close()
    monkeypatch.setattr("tft.report.build_report", lambda _: {"schema": 1, "campaign": "mine", "students": []})
    assert json.loads(tft("report", "mine", "--json").stdout)["campaign"] == "mine"
    page = tft("report", "mine", "--html").stdout.strip()
    assert Path(page).read_text().startswith("<!")
    assert "mine" in tft("report", "runs/mine").stdout
    assert "did you mean mine" in tft("report", "min").stderr


def test_examine_scores_a_model_with_intervals() -> None:
    found = tft("examine", "abacus/novice-a", "--items", "4", "--json")
    assert found.exit_code == 0, found.output
    skills = json.loads(found.stdout)["skills"]
    assert {measured["n"] for measured in skills.values()} == {4}
    assert skills["add_1"]["low"] <= skills["add_1"]["score"] <= skills["add_1"]["high"]


def test_doctor_reports_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tft.doctor._DEVICES", "print('torch here')")
    monkeypatch.setenv("TFT_DATA", str(tmp_path))
    found = {it["what"]: it for it in json.loads(tft("doctor", "--json").stdout)}
    assert found["Python"]["state"] == found["packages"]["state"] == found["library"]["state"] == "ok"
    assert found["devices"]["found"] == "torch here"
    missing = found["exam gsm8k_calculator_steps"]
    assert missing["state"] == "warn" and str(tmp_path) in missing["found"] and missing["remedy"]
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl").write_text("")
    found = {it["what"]: it for it in json.loads(tft("doctor", "--json").stdout)}
    assert found["exam gsm8k_calculator_steps"]["state"] == "ok"


def test_a_finding_that_fails_is_exit_code_3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tft.doctor._DEVICES", "raise SystemError('no torch')")
    found = tft("doctor")
    assert found.exit_code == 3
    assert "no torch" in found.stdout
    assert "Traceback" not in found.output


def test_config_loads_nothing_heavy() -> None:
    program = (
        "import sys, tft.config; "
        "print([name for name in ('torch', 'ray', 'vllm', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert done.stdout.strip() == "[]"
