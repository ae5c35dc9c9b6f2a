"""What passes between the stages of a campaign: frozen, serialisable data without behaviour.

Every record is a plain dataclass, so that ``dump`` and ``load`` can carry it through JSON, the ledger and a
Ray message alike. Reports, planners and trainers share these words and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

LessonKind = Literal[
    "demonstration", "critique", "confirmation", "self_training", "preference", "verdict", "feedback", "practice",
    "replay",
]  # fmt: skip
Split = Literal["probe", "check", "final"]
SELF_CORRECTION = "self-correction"
"""Name of the exam in which a student corrects itself."""
StopReason = Literal["mastery", "plateau", "budget", "cycles", "no_lessons"]


@dataclass(frozen=True, slots=True)
class Item:
    """One question, with a reference answer where there is one."""

    skill: str
    """The skill it belongs to; the name of the suite in a whole exam."""
    level: int
    """From 1; 0 where levels mean nothing."""
    question: str
    reference: str | None
    fingerprint: str
    """The same for all questions that ask the same."""
    source: str
    """Where it comes from: ``curriculum``, ``tutor``, or the address of a data set."""
    groups: tuple[str, ...] = ()
    """Groups that a report shows apart."""
    same: str = ""
    """What it has in common with items that ask the same in other words; empty where there are none."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A student's answer to an item."""

    item: Item
    text: str
    tokens: int
    """Tokens it wrote, its end included."""
    confidence: float | None = None
    """Probability of the whole answer under the student, in [0, 1]; None where it was not measured."""
    finished: bool = True
    """False where the length limit cut it off."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A grader's word on an attempt."""

    score: float
    """In [0, 1]."""
    reason: str
    grader: str
    answer: str = ""
    """What was graded, written so that equal answers are equal texts; empty where that is the whole attempt."""

    @property
    def passed(self) -> bool:
        """Whether the answer counts as right."""
        return self.score >= 1.0


@dataclass(frozen=True, slots=True)
class Answered:
    """An attempt with its verdict."""

    attempt: Attempt
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Sitting:
    """One student's answers to one set of items, in the order of the items."""

    exam: str
    """``probe``, ``check``, ``watched``, ``trained``, ``final``, ``self-correction``, ``practice`` with a skill, or the
    name of a whole exam."""
    answers: tuple[Answered, ...]
    sat: bool = True
    reason: str | None = None
    """Why it was not sat."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """What a trainer sees of a lesson: a conversation whose last turn is the answer to learn."""

    messages: tuple[Message, ...]

    @classmethod
    def of(cls, question: str, answer: str) -> Example:
        """Make one of a question and its answer."""
        return cls((Message("user", question), Message("assistant", answer)))


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a lesson comes from, so that every training row can be traced."""

    source: str
    """The tutor's id, ``student`` for what it wrote itself, ``curriculum`` where only the question is given, or the
    name of a file."""
    model: str
    """Fingerprint of the weights that wrote it; empty where nobody here knows."""
    prompts: dict[str, str] = field(default_factory=dict)
    """Role to the version of the prompt it was asked with."""
    calls: tuple[str, ...] = ()
    """Keys of the tutor calls, as the answer cache holds them."""
    filters: tuple[str, ...] = ()
    """Filters it passed, in order."""
    row: int | None = None
    """Line or row of the file it was read from, counted from 1."""
    license: str | None = None
    """Licence of that file, as an SPDX identifier; those of question and answer, if an earlier campaign made it."""
    trusted: bool = False
    """Whether a part of it stands on the user's word, where the curriculum knows no answer to check it with."""
    campaign: str = ""
    """The earlier campaign that it was made for; empty in its own, which knows itself."""
    asked_by: str = ""
    """Who asked there: the id of its tutor, ``curriculum``, or the name of a file; empty in its own campaign."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One thing to teach; it becomes one or more training examples."""

    id: str
    kind: LessonKind
    item: Item
    examples: tuple[Example, ...]
    answer: str
    """The answer that the grader must pass before it may be taught; empty where a verdict says that it is wrong."""
    lineage: Lineage
    attempt: str | None = None
    """The student's own attempt that a critique speaks of."""
    critique: str | None = None
    verdicts: tuple[Verdict, ...] = ()
    rejected: str | None = None
    """The worse answer of a preference; of a verdict, the answer that is wrong."""
    cut_off: tuple[str, ...] = ()
    """Those of its answers that the length limit cut off: they teach no end."""
    asked: tuple[Message, ...] = ()
    """The conversation that ends with its question; empty where the question is all of it."""

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The conversation that its answers end."""
        return self.asked or (Message("user", self.item.question),)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A lesson, or an answer of the tutor, that was not taught, and why."""

    kind: str
    skill: str
    reason: str
    """``wrong``, ``duplicate``, ``leak``, ``unreadable``, ``off_skill``, ``right_attempt`` …"""
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What tutor calls used, in tokens."""

    prompt: int = 0
    completion: int = 0
    scored: int = 0
    cached: int = 0
    """How many of all those came from the answer cache."""
    requests: int = 0

    @property
    def total(self) -> int:
        """Prompt, completion and scored tokens, cached or not."""
        return self.prompt + self.completion + self.scored

    def __add__(self, other: Usage) -> Usage:
        """Add up."""
        return Usage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.scored + other.scored,
            self.cached + other.cached,
            self.requests + other.requests,
        )


@dataclass(frozen=True, slots=True)
class Offered:
    """What became of one request for lessons: to the tutor, to a student, or to a file."""

    lessons: tuple[Lesson, ...]
    rejections: tuple[Rejection, ...]
    usage: Usage
    cut: bool = False
    """Whether fewer were asked for than were wanted, because the budget does not reach further."""


@dataclass(frozen=True, slots=True)
class Curated:
    """The lessons that may be taught, and those that may not."""

    kept: tuple[Lesson, ...]
    rejections: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class Mastery:
    """What is known of one student's command of one skill."""

    skill: str
    right: int
    n: int
    """Items that the student answered as it is now."""
    score: float
    """The share of right answers; of a belief its median."""
    low: float
    high: float
    aged: float = 0.0
    """How many fresh answers those of earlier checkpoints are still worth."""
    asked: int | None = None
    """Cycle in which it was asked last, 0 before the first; None where only an exam was counted."""
    probability: float | None = None
    """That the threshold of mastery is reached; None where only an exam was counted."""
    undecided: tuple[float, ...] = ()
    """Thresholds of the planner on which the evidence does not decide yet."""


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What is believed of one student at one moment."""

    student: str
    cycle: int
    skills: tuple[Mastery, ...]
    questions: int = 0
    """How many the probe asked to come to know this; 0 where there was none."""
    of: int = 0
    """How many it could have asked."""


@dataclass(frozen=True, slots=True)
class Version:
    """What a student was when a campaign had ended: one line of its history."""

    run: str
    """Name of the campaign."""
    date: str
    """Day of its last step, as ``2026-11-22``."""
    checkpoint: str | None
    """Digest of the promoted checkpoint; None while it was the base model still."""
    taught: tuple[str, ...]
    """Skills that it got new lessons in."""
    scores: dict[str, Mastery]
    """The final exam by skill, as it stood at the end."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a student brings along from the campaign that its own continues."""

    lessons: tuple[Lesson, ...]
    """That it was shown there, to be read again."""
    versions: tuple[Version, ...]
    """The oldest first."""


@dataclass(frozen=True, slots=True)
class Tuition:
    """One line of a syllabus."""

    skill: str
    kind: LessonKind
    lessons: int
    reason: str
    source: str = ""
    """The file it is read from; empty where tutor or student make it."""


@dataclass(frozen=True, slots=True)
class Syllabus:
    """What one student is taught in one cycle, and why."""

    student: str
    cycle: int
    tuition: tuple[Tuition, ...]
    waiting: dict[str, str]
    """Skills that are not taught yet, with the reason."""
    mastered: tuple[str, ...]
    learning_rate_scale: float = 1.0
    """Below 1 after the first cycle, and after a roll-back."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified folder with what a student has learned."""

    path: str
    """The folder it was written to; a run that was moved finds it by student and cycle."""
    digest: str
    """sha256 of its manifest."""
    trained_tokens: int = 0
    trained_tokens_by_skill: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    loss_first: float | None = None
    """Mean loss of the first tenth of the steps, in nats per token."""
    loss_last: float | None = None
    trainable_share: float | None = None
    measures: dict[str, tuple[float, float]] = field(default_factory=dict)
    """What the objectives told of themselves: means over the first and the last tenth of their steps."""
    usage: Usage = field(default_factory=Usage)
    """What the tutor was asked for while training."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What reflection made of a cycle, for one student."""

    student: str
    cycle: int
    promoted: bool
    reason: str
    stop: StopReason | None
    findings: tuple[str, ...] = ()
    """What went wrong, each with its name: forgetting, overfitting, reward hacking, a leak, wrong lessons."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the tutor's judge made of answers that the grader had not passed before a cycle, and passed after it."""

    asked: int
    """Answers it compared with those of before."""
    earlier: int
    """Of these, how often it preferred what was said before."""
    later: int
    """How often what is said now; it could not tell the others apart."""
    usage: Usage


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def dump(value: object, kind: Any = None) -> Any:
    """Turn a record, or a container of records, into plain JSON values."""
    return _adapter(kind or type(value)).dump_python(value, mode="json")


def load(kind: type[T], value: object) -> T:
    """Turn plain JSON values back into a record.

    Raises:
        pydantic.ValidationError: if they do not fit.
    """
    return cast("T", _adapter(kind).validate_python(value))


def take(kind: type[T], value: object) -> T:
    """Take a record that somebody else's code made, as it will be read back.

    Raises:
        ValueError: with what does not fit, in words.
    """
    try:
        return load(kind, _adapter(kind).dump_python(value, mode="json", warnings=False))
    except ValidationError as error:
        told = [": ".join((".".join(map(str, it["loc"])), it["msg"])).removeprefix(": ") for it in error.errors()]
        raise ValueError(f"this is no {kind.__name__}: {'; '.join(told)}") from error


def digest(value: object) -> str:
    """Give a short content key of any JSON value: 24 hexadecimal digits of sha256 over its canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def digest_file(path: Path) -> str:
    """Give the sha256 of what a file holds."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_seed(value: object) -> int:
    """Make a seed of any JSON value, below 2³¹: the same value, the same seed."""
    return int(digest(value), 16) % 2**31
