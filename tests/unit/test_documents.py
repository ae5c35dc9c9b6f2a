"""Documents quote what benchmarks measured, examples in them run, and every link leads somewhere."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from benchmarks.documents import ROOT, documents, fill
from tft.config.reference import write_reference
from tft.library import shipped
from tft.validation import validate

CONFIGS = sorted([*(shipped() / "configs").glob("*.yaml"), *(ROOT / "docs" / "examples").glob("*.yaml")])


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_quotes_results_as_they_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert fill(text) == text, "run: python -m benchmarks docs"


def test_the_page_of_settings_is_that_of_this_version() -> None:
    path = ROOT / "docs" / "settings.md"
    assert path.read_text(encoding="utf-8") == write_reference(), "run: tft schema --markdown > docs/settings.md"


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_to_a_file(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_is_sound_and_says_how_to_run_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a user is told to export, or to install, before.
    monkeypatch.setenv("TFT_SERVE_KEY", "a-key")
    monkeypatch.setattr("tft.validation.content.find_spec", lambda name: name)
    assert path.read_text().splitlines()[0] == f"# tft run {path.relative_to(ROOT)}"
    problems = validate(path, []).problems
    if path.name == "stories.yaml" and "TFT_DATA" not in os.environ:
        pytest.skip("stories260K is not shipped; put it at $TFT_DATA/models/stories260K")
    assert problems == ()
