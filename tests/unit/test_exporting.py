"""What is exported goes to the hub where that is asked for, and nowhere else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.hub import TOKEN, Hub, hub
from tft.cli import main


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Give a hub that takes the place of the one that everybody uses, and its token."""
    with hub() as running:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", running.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_PROGRESS_BARS", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield running


@pytest.fixture
def run(novice: Path, tmp_path: Path) -> Path:
    final = tmp_path / "run" / "students" / "ada" / "final"
    shutil.copytree(novice, final)
    (final.parent / "README.md").write_text("---\nlicense: apache-2.0\n---\nIts card.\n")
    (tmp_path / "run" / "ledger.sqlite").touch()
    return tmp_path / "run"


def export(run: Path, *options: str) -> Result:
    command = ["export", str(run), "ada", "--out", str(run.parent / "out"), *options]
    return CliRunner().invoke(main, command)


def test_a_student_is_sent_as_it_was_exported(there: Hub, run: Path) -> None:
    result = export(run, "--push", "ada/subtracts")
    assert result.exit_code == 0, result.output
    out = run.parent / "out"
    assert result.stdout.splitlines() == [str(out), f"{there.url}/ada/subtracts"]
    assert there.private == {"ada/subtracts": True}
    sent = there.files["ada/subtracts"]
    assert sent == {path.name: path.read_bytes() for path in out.iterdir()}
    assert {"model.safetensors", "config.json", "README.md"} <= sent.keys()
    # Once more, into a repository that is there.
    shutil.rmtree(out)
    assert export(run, "--push", "ada/subtracts").exit_code == 0


def test_nothing_is_sent_unless_it_is_asked_for(there: Hub, run: Path) -> None:
    assert export(run).exit_code == 0
    assert there.files == {}


def test_without_a_token_nothing_is_made(there: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    refused = export(run, "--push", "ada/subtracts")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(run / "nowhere"))
    unknown = export(run, "--push", "ada/subtracts")
    for result, told in ((refused, "does not accept this token"), (unknown, "no token for the hub")):
        assert result.exit_code == 3
        assert told in result.stderr and "hf auth login" in result.stderr
    assert not (run.parent / "out").exists() and there.files == {}


def test_without_a_network_nothing_is_made(run: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    result = export(run, "--push", "ada/subtracts")
    assert result.exit_code == 3
    assert f"127.0.0.1:{free_port} cannot be reached" in result.stderr
    assert not (run.parent / "out").exists()


def test_a_name_that_cannot_be_is_a_mistake(run: Path) -> None:
    result = export(run, "--push", "ada/sub/tracts")
    assert result.exit_code == 2
    assert "is no name of a repository" in result.stderr and "owner/name" in result.stderr


def test_what_the_hub_does_not_take_stays_where_it_is(there: Hub, run: Path) -> None:
    there.read_only = True
    result = export(run, "--push", "ada/subtracts")
    assert result.exit_code == 3
    assert "did not take" in result.stderr and "hf upload ada/subtracts" in result.stderr
    assert (run.parent / "out" / "model.safetensors").is_file()
