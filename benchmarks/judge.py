"""What a tutor's word is worth: its judge on pairs with a gold preference, its critic on mistakes with gold labels.

    python -m benchmarks run judge [--tutor NAME | --tutor '{use: instruct, model: …, engine: {…}}'] [--items N]

The pairs are LLMBar's (Zeng et al. 2023): 419, one answer of each objectively better, most of the others made to look
better. The mistakes are those of 210 snippets of real tutoring (Bridge, Wang et al. 2023) that teachers labelled. Both
are read below ``$TFT_DATA``. The default tutor is abacus, which can read neither: its rows show that.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks.results import Row
from tft.config.campaign import TutorUse
from tft.library import Library
from tft.preparation import find_tutor
from tft.statistics import wilson_interval
from tft.tutor import Pair, Tutor, open_tutor, prefer

SETS = ("Natural", "Adversarial_Neighbor", "Adversarial_GPTInst", "Adversarial_GPTOut", "Adversarial_Manual")
KINDS = ("guess", "misinterpret", "careless", "right-idea", "imprecise", "diagnose")


def run(options: list[str]) -> list[Row]:
    chosen, most = _options(options)
    data = Path(os.environ.get("TFT_DATA", ""))
    with tempfile.TemporaryDirectory() as cache:
        _, ref = find_tutor(chosen, Library(), Path(cache))
        tutor = open_tutor(ref)
        rows = _judges(tutor, data / "llmbar", chosen.use, most)
        return [*rows, *_criticises(tutor, data / "bridge" / "test.json", chosen.use, most)]


def _options(options: list[str]) -> tuple[TutorUse, int | None]:
    pairs = dict(zip(options[::2], options[1::2], strict=False))
    unknown = set(pairs) - {"--tutor", "--items"}
    if unknown or len(options) % 2:
        raise SystemExit(f"cannot read {' '.join(options)}; known: --tutor TUTOR, --items N")
    value = yaml.safe_load(pairs.get("--tutor", "abacus"))
    use = TutorUse.model_validate({"use": value} if isinstance(value, str) else value)
    return use, int(pairs["--items"]) if "--items" in pairs else None


def _missing(name: str, what: str) -> Row:
    return Row(name, what, None, "share", note="the data was not found; set TFT_DATA")


def _row(name: str, what: str, right: int, n: int, note: str = "") -> Row:
    low, high = wilson_interval(right, n) if n else (None, None)
    return Row(name, what, right / n if n else None, "share", low, high, note=f"n = {n}{'; ' + note if note else ''}")


def _judges(tutor: Tutor, folder: Path, name: str, most: int | None) -> list[Row]:
    if not folder.is_dir():
        return [_missing(f"{name}-judge", "agreement with the gold preference")]
    rows, everything = [], []
    for subset in SETS:
        gold = json.loads((folder / f"{subset}.json").read_text())[:most]
        pairs = [Pair(it["input"], it["output_1"], it["output_2"]) for it in gold]
        found, _ = prefer(tutor, pairs)
        wanted = ["first" if it["label"] == 1 else "second" for it in gold]
        everything += list(zip(found, wanted, strict=True))
        right = sum(it.winner == want for it, want in zip(found, wanted, strict=True))
        ties = sum(it.winner == "tie" for it in found)
        rows.append(_row(f"{name}-judge-{subset}", "agreement with the gold preference", right, len(gold),
                         f"{ties} ties"))  # fmt: skip
    right = sum(it.winner == want for it, want in everything)
    words = [word for it, _ in everything for word in it.said]
    shown = [it.said for it, _ in everything if None not in it.said]
    # Its words are told in the order of the pair: who says first, then second, took whatever stood first.
    always_first = sum(said == ("first", "second") for said in shown)
    always_last = sum(said == ("second", "first") for said in shown)
    return [
        _row(f"{name}-judge", "agreement with the gold preference, all", right, len(everything)),
        *rows,
        _row(f"{name}-judge-consistent", "same word in both orders", sum(it.consistent for it, _ in everything),
             len(everything)),
        _row(f"{name}-judge-first", "took what stood first, in both orders", always_first, len(shown)),
        _row(f"{name}-judge-last", "took what stood last, in both orders", always_last, len(shown)),
        _row(f"{name}-judge-silent", "gave no usable answer", sum(word is None for word in words), len(words)),
    ]  # fmt: skip


def _criticises(tutor: Tutor, file: Path, name: str, most: int | None) -> list[Row]:
    if not file.is_file():
        return [_missing(f"{name}-critic", "agreement with the teachers' label of the mistake")]
    gold = [it for it in json.loads(file.read_text()) if it["e"] in KINDS][:most]
    answers = tutor.ask("critic", [_question(it) for it in gold])
    said = [(fields or {}).get("kind") for fields in answers.fields]
    right = sum(kind == it["e"] for kind, it in zip(said, gold, strict=True))
    labels = [it["e"] for it in gold]
    chance = random.Random(1)
    drawn = sum(chance.choice(labels) == label for label in labels)
    usable = sum(fields is not None for fields in answers.fields)
    return [
        _row(f"{name}-critic", "agreement with the teachers' label of the mistake", right, len(gold),
             f"labels drawn at random agree on {drawn}"),
        _row(f"{name}-critic-usable", "critiques of the right form", usable, len(gold)),
    ]  # fmt: skip


def _question(snippet: dict[str, Any]) -> dict[str, Any]:
    """Tell what was said before the student's last words, and take those for its attempt."""
    turns = snippet["c_h"]
    last = max(place for place, turn in enumerate(turns) if turn["user"] == "student")
    before = [f"{turn['user']}: {turn['text']}" for turn in turns[:last]]
    question = f"{snippet['lesson_topic']}\n" + "\n".join(before)
    return {"question": question, "attempt": turns[last]["text"], "marker": None}
