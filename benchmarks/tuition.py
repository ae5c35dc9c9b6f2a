"""What tuition is for: a thrifty campaign against uniform demonstrations and TRL's SFTTrainer.

    python -m benchmarks run tuition [seeds] [fresh | finished]

Same tutor, same students. For each seed `configs/thrifty.yaml` runs as it ships (in one process), and each of its two
students is taught by the peer: the tutor shows every one of the five skills equally often, and TRL trains on that for
exactly as many tokens as the campaign put through that student in training. *tuned* takes questions drawn from the
curriculum, so that the tutor is paid for answers alone, as the campaign does. Rate, batch, optimiser and warm-up are
those of the campaign. A peer has as many tutor tokens as the campaign had. On the first seed there are two more:
*plain*, where the tutor writes the questions too, and the tuned one with three times the tokens where the campaign
reached 90 % and it did not. Held out for all: the final exam, the GSM8K steps of `TFT_DATA`, and 2,000 questions a
skill that a student knew before and that nobody taught it.

One student of each seed comes first, in turn, then the others, then what the first seed has more. Those that stand in
`benchmarks/results/tuition.json`, each with its commit, or lie finished below `runs/tuition` are not done again, unless
`fresh` is said; with `finished` nothing is run. A student takes ten minutes on one core, as does the campaign of a
seed; a number takes as many seeds.
"""

from __future__ import annotations

import json
import shutil
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.campaigns import THRIFTY, run_campaign
from benchmarks.results import Row, commit, mean_interval, read_rows
from tft.config import CampaignConfig, read_config
from tft.config.adapters import FullAdapter, LoraAdapter
from tft.config.campaign import LESSONS_A_BATCH
from tft.exams.examiner import SitRequest, sit
from tft.ledger import Ledger
from tft.lessons import CurateRequest, DemonstrationRequest, curate, demonstrate
from tft.lessons.items import draw_items
from tft.library import Library, fingerprint_model, load_items
from tft.preparation import Prepared, prepare
from tft.records import Checkpoint, Lesson, Offered, Usage, load
from tft.report.taught import read_taught
from tft.statistics import paired_difference
from tft.student import StudentRef
from tft.training.rates import default_learning_rate
from tft.tutor import NO_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.records import Item

SEEDS = (401, 402, 403, 404, 405)
STUDENTS = ("ada", "blaise")
PLACE = Path("runs/tuition")
TAUGHT = ("add_2", "add_3", "sub_2", "sub_3", "mul_2x1")
SUITE = "gsm8k_calculator_steps"
ENOUGH = 0.9
"""Mean of the five skills that counts as reached."""
KEPT = 2000
"""Questions a skill that was known before."""
KNOWN = 0.9
"""From which share of right answers a skill counts as known before."""
MOST = 3.0
"""How many times the tokens of the campaign a peer is given at most."""


def run(options: list[str]) -> list[Row]:
    import torch

    torch.set_num_threads(1)
    if "fresh" in options:
        shutil.rmtree(PLACE, ignore_errors=True)
    known = [] if "fresh" in options else read_rows("tuition")
    seeds = SEEDS[: next((int(it) for it in options if it.isdigit()), len(SEEDS))]
    every = [(STUDENTS[(number + turn) % 2], seed) for turn in range(2) for number, seed in enumerate(seeds)]
    stands = {(name, seed): [row for row in known if row.id.endswith(f"-{seed}-{name}")] for name, seed in every}
    if "finished" not in options:
        for student, seed in every:
            if not stands[student, seed]:
                measure(seed, student)
        for student in STUDENTS:
            if _told(SEEDS[0], student).exists():
                measure_more(student)
    rows: list[Row] = []
    for student, seed in sorted(every):
        told = _told(seed, student)
        rows += _rows(json.loads(told.read_text())) if told.exists() else stands[student, seed]
    return [*_summary(rows), *rows]


def measure(seed: int, student: str) -> None:
    """See what one student of one seed learned, from whom, and what it cost."""
    told = _told(seed, student)
    if not told.exists():
        told.parent.mkdir(parents=True, exist_ok=True)
        _write(told, _compare(_Campaign(seed), STUDENTS.index(student)))


def measure_more(student: str) -> None:
    """See what the tutor's own questions, and three times the tokens, are good for on the first seed."""
    told = _told(SEEDS[0], student)
    found: dict[str, Any] = json.loads(told.read_text())
    campaign, place, total = _Campaign(SEEDS[0]), STUDENTS.index(student), found["tokens"]
    exam = _Exam(campaign, campaign.prepared.students[place], [])

    def teach(name: str, lessons: list[Lesson]) -> float:
        learned = _train_with_trl(campaign, place, lessons, found["trained_tokens"], name)
        return _mean(exam.taught(learned))

    if "plain" not in found:
        found["plain"] = teach("plain-1", campaign.demonstrations(total))
        _write(told, found)
    best = max((mean for _, mean in found["curve"]), default=0.0)
    if len(found["reached"]) == 1 and found["reached"][0][1] < ENOUGH <= best:
        tokens = round(MOST * total)
        found["reached"].append((tokens, teach(f"tuned-{MOST:g}", campaign.demonstrations(tokens, drawn=True))))
        _write(told, found)


def _write(told: Path, found: dict[str, Any]) -> None:
    told.write_text(json.dumps(found, indent=1))
    print(found["seed"], found["student"], {name: round(it["mean"], 3) for name, it in found["arms"].items()},
          found.get("plain"), found["reached"], flush=True)  # fmt: skip


def _told(seed: int, student: str) -> Path:
    return PLACE / f"seed-{seed}" / f"{student}.json"


def _compare(campaign: _Campaign, place: int) -> dict[str, Any]:
    """Measure one student: as it was, as the campaign left it, and as its peers leave it."""
    student, total = campaign.prepared.students[place], campaign.tokens
    stages = [(tokens, replace(student, checkpoint_path=it.path, digest=it.digest))
              for tokens, it in campaign.promoted(student.id)]  # fmt: skip
    learned = stages[-1][1] if stages else student
    lessons = campaign.demonstrations(total, drawn=True)
    exam = _Exam(campaign, student, lessons)
    # Of checkpoints that were refused, too.
    report = campaign.told(student.id)
    budget = report["trained_tokens"]
    arms = {
        "before": exam.sit(student),
        "campaign": exam.sit(learned),
        "tuned-1": exam.sit(_train_with_trl(campaign, place, lessons, budget, "tuned-1")),
    }
    curve = [(tokens, _mean(exam.taught(it))) for tokens, it in stages]
    return {
        "seed": campaign.seed, "student": student.id, "tokens": total, "trained_tokens": budget, "curve": curve,
        "reached": [(total, arms["tuned-1"]["mean"])], "arms": arms, "lessons": len(lessons),
        "questions": exam.questions, "commit": commit(),
        "self_correction": report["self_correction"], "calibration": report["calibration"],
    }  # fmt: skip


class _Campaign:
    """The quickstart of one seed, run unless it was, and the tutor's demonstrations beside it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._folder = PLACE / f"seed-{seed}" / "run"
        settings = [f"seed={seed}", "cluster=inline", "threads.tutor=1", f"cache={PLACE / f'seed-{seed}' / 'cache'}"]
        self.report = run_campaign(THRIFTY, self._folder, tuple(settings))
        config = read_config(CampaignConfig, THRIFTY, settings)
        self.prepared: Prepared = prepare(config, Library(), self._folder)
        self.tokens: int = self.report["tutor"]["tokens"]["total"]
        self._shelves: dict[tuple[str, bool], list[Offered]] = {}

    def promoted(self, student: str) -> list[tuple[int, Checkpoint]]:
        """Give each checkpoint that was kept, with the tutor tokens that the campaign had used when it was trained."""
        kept = {it["cycle"] for it in self.told(student)["cycles"] if it["promoted"]}
        ledger, used = Ledger(self._folder), Usage()
        found: dict[int, tuple[int, Checkpoint]] = {}
        for line in (self._folder / "events.jsonl").read_text().splitlines():
            event = json.loads(line)
            step = ledger.get(event["key"]) if event["event"] == "step" else None
            if step is None:
                continue
            if step.stage == "train" and step.student == student and step.cycle in kept:
                made = load(Checkpoint, step.result)
                path = str(self._folder / "students" / student / f"cycle-{step.cycle}")
                found[step.cycle] = used.total, replace(made, path=path)
            elif isinstance(step.result, dict) and "usage" in step.result:
                used += load(Usage, step.result["usage"])
        ledger.close()
        return list(found.values())

    def told(self, student: str) -> dict[str, Any]:
        """Give what the report says of a student."""
        found: dict[str, Any] = next(it for it in self.report["students"] if it["id"] == student)
        return found

    def read(self, student: str) -> set[str]:
        """Give the fingerprints of all that a student was shown or rehearsed."""
        ledger = Ledger(self._folder)
        taught = read_taught(ledger)
        ledger.close()
        return {lesson.item.fingerprint for it in taught if it.student == student for lesson in it.curated.kept}

    def demonstrations(self, tokens: int, *, drawn: bool = False) -> list[Lesson]:
        """Let the tutor show every skill for the same share of a sum of tokens."""
        share = tokens // len(TAUGHT)
        lessons = tuple(lesson for skill in TAUGHT for lesson in self._show(skill, share, drawn))
        return list(curate(CurateRequest(lessons, self.prepared.curriculum.grader, self.prepared.held_out())).kept)

    def _show(self, skill: str, tokens: int, drawn: bool) -> list[Lesson]:
        """Take from a shelf what so many tokens pay for; it grows batch by batch, and the tutor is asked once."""
        batches = self._shelves.setdefault((skill, drawn), [])
        while sum(it.usage.total for it in batches) < tokens and (not batches or batches[-1].lessons):
            known = tuple(sorted(lesson.item.question for it in batches for lesson in it.lessons))
            card = self.prepared.skills[skill]
            batches.append(demonstrate(
                DemonstrationRequest(
                    self.prepared.tutor, self.prepared.items_path, skill, card.title, card.levels,
                    self.prepared.curriculum.grader.marker, len(batches), LESSONS_A_BATCH, known,
                    self.prepared.held_out(), self.seed, NO_LIMIT, drawn,
                )
            ))  # fmt: skip
        afforded: list[Lesson] = []
        for batch in batches:
            share = min(1.0, tokens / batch.usage.total) if batch.usage.total else 1.0
            afforded += batch.lessons[: round(share * len(batch.lessons))]
            tokens -= round(share * batch.usage.total)
        return afforded


class _Exam:
    """What a student sits whom anybody taught: the same questions for all."""

    def __init__(self, campaign: _Campaign, student: StudentRef, lessons: Sequence[Lesson]) -> None:
        prepared = campaign.prepared
        self._config = prepared.config
        self._grader = prepared.curriculum.grader
        self._taught = tuple(it for it in prepared.splits.items["final"] if it.skill in TAUGHT)
        (suite,) = (it for _, it in prepared.suites if it.name == SUITE)
        self._steps = tuple(it for it in suite.items if "covered" in it.groups)
        if not self._steps:
            raise SystemExit(f"{SUITE} was not found: set TFT_DATA to the folder that holds gsm8k/test.jsonl")
        final = campaign.told(student.id)["skills"]
        taught = campaign.read(student.id) | {it.item.fingerprint for it in lessons}
        source = load_items(Path(prepared.items_path))
        tables = [it for it in prepared.splits.items["final"] if it.skill in prepared.splits.examined_whole]
        self._kept: list[Item] = [it for it in tables if final[it.skill]["before"]["score"] >= KNOWN]
        for skill in TAUGHT:
            if final[skill]["before"]["score"] >= KNOWN:
                self._kept += draw_items(source, skill, KEPT, taught, f"{campaign.seed} kept")

    @property
    def questions(self) -> list[str]:
        """Give the question of each GSM8K step; many are asked several times, and count once as evidence."""
        return [it.question for it in self._steps]

    def taught(self, student: StudentRef) -> list[bool]:
        """Let a student answer the final exam of the five skills; give what is right."""
        return self._sit(student, self._taught)

    def sit(self, student: StudentRef) -> dict[str, Any]:
        """Let a student answer everything; give what is right, by part and by skill."""
        taught, kept = self.taught(student), self._sit(student, self._kept)
        by_skill: dict[str, list[bool]] = {}
        for item, right in zip(self._kept, kept, strict=True):
            by_skill.setdefault(item.skill, []).append(right)
        return {"mean": _mean(taught), "taught": taught, "steps": self._sit(student, self._steps), "kept": by_skill}

    def _sit(self, student: StudentRef, items: Sequence[Item]) -> list[bool]:
        if not items:
            return []
        sat = sit(SitRequest(student, "tuition", tuple(items), self._grader, self._config.exams.max_tokens))
        return [it.verdict.passed for it in sat.answers]


def _train_with_trl(campaign: _Campaign, place: int, lessons: Sequence[Lesson], tokens: int, name: str) -> StudentRef:
    """Let TRL put so many tokens through a student, questions included; give it as a plain model."""
    import peft
    import transformers
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from tft.engines.transformers import load_model
    from tft.training.rows import IGNORED, encode

    student, asked = campaign.prepared.students[place], campaign.prepared.config
    folder = (PLACE / f"seed-{campaign.seed}" / "peers" / f"{student.id}-{name}").resolve()
    if not (folder / "done").exists():
        transformers.set_seed(campaign.seed)
        model, tokenizer = load_model(student.base_path, training=True)
        rows = encode(lessons, tokenizer)
        each = statistics.mean(len(row.tokens) for row in rows)
        steps = round(tokens / each / asked.training.batch_size)
        adapter = student.adapter
        low_rank = None
        if isinstance(adapter, LoraAdapter):
            low_rank = peft.LoraConfig(r=adapter.r, lora_alpha=adapter.alpha, target_modules="all-linear",
                                       lora_dropout=adapter.dropout, task_type="CAUSAL_LM")  # fmt: skip
        trainer = SFTTrainer(
            model=model, processing_class=tokenizer, peft_config=low_rank,
            train_dataset=Dataset.from_list(
                [{"input_ids": list(row.tokens), "labels": [IGNORED] * row.start + list(row.tokens[row.start :])}
                 for row in rows]
            ),
            args=SFTConfig(
                output_dir=str(folder / "trainer"), max_steps=steps,
                per_device_train_batch_size=asked.training.batch_size, seed=campaign.seed,
                learning_rate=default_learning_rate(adapter.type, model.config.hidden_size),
                lr_scheduler_type="cosine", warmup_steps=round(asked.training.warmup * steps),
                weight_decay=asked.training.weight_decay, max_grad_norm=asked.training.max_grad_norm,
                max_length=None, gradient_checkpointing=False,
                use_cpu=True, bf16=False, report_to="none", save_strategy="no", logging_steps=100, disable_tqdm=True,
            ),
        )  # fmt: skip
        trainer.train()
        learned = trainer.model.merge_and_unload() if low_rank is not None else trainer.model
        learned.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "done").touch()
    return StudentRef(name, str(folder), fingerprint_model(str(folder)), FullAdapter())


def _mean(right: Sequence[bool]) -> float:
    return sum(right) / len(right)


@dataclass(frozen=True)
class _Line:
    """One thing that is claimed of tuition, and what meets it."""

    what: str
    unit: str
    target: str


LINES = {
    "L1": _Line(f"tutor tokens to reach {ENOUGH:.0%}, of those the tuned peer takes", "ratio", "<= 0.333"),
    "L3": _Line("mean of the five skills, beyond the tuned peer", "share", ">= 0.10"),
    "L4": _Line("covered GSM8K steps, beyond the tuned peer", "share", "interval above 0"),
    "L5": _Line("worst change of a skill that was known before", "share", ">= -0.02"),
    "L6": _Line("self-correction, beyond the first answer", "share", "interval above 0, ECE of taught skills <= 0.05"),
}


def _rows(found: dict[str, Any]) -> list[Row]:
    """Say how one student fares by every target."""
    who, arms = f"{found['seed']}-{found['student']}", found["arms"]
    ours, peer = arms["campaign"], arms["tuned-1"]
    plain = f" ({found['plain']:.1%} where the tutor writes the questions)" if "plain" in found else ""
    mean, low, high = paired_difference(peer["taught"], ours["taught"])
    note = (f"{peer['mean']:.1%} → {ours['mean']:.1%}{plain}, from {arms['before']['mean']:.1%}; "
            f"{found['trained_tokens']:,} tokens trained; {found['commit']}")  # fmt: skip
    rows = [_tokens(found, who), _row("L3", who, mean, low, high, mean >= 0.10, note)]
    mean, low, high = paired_difference(peer["steps"], ours["steps"], questions=found["questions"])
    different = len(set(found["questions"]))
    note = f"{_mean(peer['steps']):.1%} → {_mean(ours['steps']):.1%}, n = {len(ours['steps'])}, {different} questions"
    for known, told in ((True, "of those it did before"), (False, "of the others")):
        places = [place for place, right in enumerate(arms["before"]["steps"]) if right is known]
        shares = [_mean([arm["steps"][place] for place in places]) for arm in (peer, ours)]
        note += f"; {told} {shares[0]:.1%} → {shares[1]:.1%}"
    rows.append(_row("L4", who, mean, low, high, low > 0, note))
    changes = {skill: paired_difference(arms["before"]["kept"][skill], right) for skill, right in ours["kept"].items()}
    worst = min(changes, key=lambda it: changes[it][0])
    lost = {skill: _mean(right) - _mean(arms["before"]["kept"][skill]) for skill, right in peer["kept"].items()}
    least = min(lost, key=lost.__getitem__)
    note = f"{worst}, n = {len(ours['kept'][worst])}; the peer: {lost[least]:+.1%} of {least}"
    rows.append(_row("L5", who, *changes[worst], changes[worst][0] >= -0.02, note))
    corrected, calibration = found["self_correction"], found["calibration"]
    if corrected["first"] is not None:
        it, ece = corrected["change"], calibration["by_role"]["taught"]["ece"]
        note = (f"{corrected['first']:.1%} → {corrected['revised']:.1%}, n = {corrected['n']}; ECE {ece:.3f} on taught "
                f"skills, {calibration['ece']:.3f} on all")  # fmt: skip
        rows.append(_row("L6", who, it["value"], it["low"], it["high"], it["low"] > 0 and ece <= 0.05, note))
    return rows


def _tokens(found: dict[str, Any], who: str) -> Row:
    """Compare where the campaign and the tuned peer first were at 90 %.

    The peer got there between two sums of tokens that were tried, so the ratio lies between two as well; the worse one
    has to meet the target.
    """
    ours = next((tokens for tokens, mean in found["curve"] if mean >= ENOUGH), None)
    told = [f"{name}: " + ", ".join(f"{mean:.1%} for {tokens:,}" for tokens, mean in points)
            for name, points in (("campaign", found["curve"]), ("peer", found["reached"]))]  # fmt: skip
    if ours is None:
        return _row("L1", who, None, None, None, False, "; ".join(told))
    there = next((place for place, (_, mean) in enumerate(found["reached"]) if mean >= ENOUGH), len(found["reached"]))
    tried = [tokens for tokens, _ in found["reached"]]
    most = ours / tried[there - 1] if there else None
    least = ours / tried[there] if there < len(tried) else 0.0
    below = "" if there < len(tried) else "the peer did not get there; "
    met = most is not None and most <= 1 / 3
    return _row("L1", who, least if most is None else most, least, most, met, below + "; ".join(told))


def _row(name: str, who: str, value: float | None, low: float | None, high: float | None, met: bool, note: str) -> Row:
    line = LINES[name]
    return Row(f"{name}-{who}", line.what, value, line.unit, low, high, line.target, met, note=note)


def _summary(rows: Sequence[Row]) -> list[Row]:
    """Give the mean of each target over the seeds, with its interval, and how many students meet it."""
    summary = []
    for name, line in LINES.items():
        members = [row for row in rows if row.id.startswith(f"{name}-")]
        met = sum(bool(row.met) for row in members)
        by_seed: dict[str, list[float]] = {}
        for row in members:
            if row.value is not None:
                by_seed.setdefault(row.id.split("-")[1], []).append(row.value)
        note = f"{met} of {len(members)} students meet it, {sum(it.value is None for it in members)} without a value"
        if not by_seed:
            summary.append(Row(f"all-{name}", line.what, None, line.unit, None, None, line.target, False, note=note))
            continue
        means = [statistics.mean(values) for values in by_seed.values()]
        mean, (low, high) = statistics.mean(means), mean_interval(means)
        note += f"; {len(means)} seeds, students from {min(it for v in by_seed.values() for it in v):.3f} to "
        note += f"{max(it for v in by_seed.values() for it in v):.3f}"
        summary.append(Row(f"all-{name}", line.what, mean, line.unit, low, high, line.target, met == len(members),
                           note=note))  # fmt: skip
    return summary
