"""A whole campaign with an encoder-decoder student that knows nothing at first."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from tests.halves import build
from tests.integration.conftest import Run, comparable
from tft.library import shipped

CARD = {
    "curriculum": "single",
    "description": "Adding single digits, to a student that has never seen one.",
    "items": "items.py",
    "grader": {"type": "numeric", "marker": "#"},
    "skills": {"add_1": {"title": "adding single digits", "levels": 2}},
}


def tft(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tft", *command], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_encoder_decoder_student_learns_what_it_is_shown(tmp_path: Path) -> None:
    curriculum = tmp_path / "curricula" / "single"
    curriculum.mkdir(parents=True)
    (curriculum / "curriculum.yaml").write_text(yaml.safe_dump(CARD))
    shutil.copy(shipped() / "curricula" / "arithmetic" / "items.py", curriculum)
    config = {
        "campaign": "halves",
        "seed": 3,
        "tutor": "abacus",
        "students": [{"id": "tess", "model": f"path:{build(tmp_path / 't5')}", "learning_rate": 4e-3}],
        "curriculum": "single",
        "exams": {"probe": 8, "check": 8, "final": 8},
        "tuition": {"cycles": 1, "lessons": 24, "methods": "demonstration"},
        "training": {"epochs": 100, "batch_size": 8},
        "cluster": "inline",
        "cache": str(tmp_path / "cache"),
    }
    path, folder = tmp_path / "halves.yaml", tmp_path / "run"
    path.write_text(yaml.safe_dump(config))
    tft("run", str(path), "--out", str(folder))
    report = Run(folder).report
    (pupil,) = report["students"]
    (cycle,) = pupil["cycles"]
    assert cycle["loss_last"] < 0.05 * cycle["loss_first"]
    assert pupil["skills"]["add_1"]["before"]["score"] == 0.0
    # Whatever is in its ledger is not done again.
    tft("run", str(path), "--out", str(folder))
    assert comparable(Run(folder).report) == comparable(report)

    tft("export", str(folder), "tess", "--out", str(tmp_path / "exported"))
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "exported").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "exported")
    lessons = [json.loads(line) for line in (folder / "lessons" / "cycle-1.jsonl").read_text().splitlines()]
    assert len(lessons) > 12
    right = 0
    for lesson in lessons:
        asked = tokenizer(lesson["item"]["question"], return_tensors="pt")
        written = model.generate(**asked, do_sample=False, max_new_tokens=24)
        right += tokenizer.decode(written[0], skip_special_tokens=True) == lesson["answer"]
    assert right > 0.8 * len(lessons)
