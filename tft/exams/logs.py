"""Logs of inspect_ai as whole exams: their samples, asked in the words in which they were asked there.

Only inspect_ai itself reads them. Left out on purpose: conversations, tools, several right answers, and scorers that
ask a model or run code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from tft.config.cards import GraderConfig
from tft.config.suites import InspectConfig
from tft.errors import PrerequisiteError, Problem, UserError
from tft.exams.questions import Asked, Questions, refuse_empty, reject

if TYPE_CHECKING:
    from pathlib import Path

_MARK = "ANSWER:"
"""What stands before the letter of a choice, there and here."""
_KNOWN = get_args(InspectConfig.model_fields["scorer"].annotation)


@dataclass(frozen=True, slots=True)
class Log:
    """What was read."""

    questions: Questions
    grader: GraderConfig
    chosen: str
    """Why it is this grader, in words."""


def read_log(path: Path, name: str, grader: GraderConfig | None) -> Log:
    """Read a log.

    Args:
        path: a file of inspect_ai, ``.eval`` or ``.json``.
        name: what it is called in errors.
        grader: who grades, instead of the log's own scorer.

    Raises:
        UserError: if it is no log, no sample of it can be asked, or its scorer cannot be had here.
        PrerequisiteError: if inspect_ai is not installed.
    """
    try:
        from inspect_ai.log import read_eval_log
    except ImportError as error:
        message = f"{name} is a log of inspect_ai, which is not installed: pip install inspect-ai"
        raise PrerequisiteError(message) from error
    try:
        log = read_eval_log(str(path), resolve_attachments=True)
    except Exception as error:  # whatever is wrong with the file
        problem = Problem(f"is no log of inspect_ai ({type(error).__name__})", file=name, remedy="name a log of it")
        raise UserError(problem) from error
    chosen = f"{grader.type}, as the card says" if grader is not None else ""
    if grader is None:
        grader, chosen = _choose_grader(log, name)
    asked: dict[Asked, None] = {}
    rejections = []
    for number, sample in enumerate((it for it in log.samples or () if it.epoch == 1), start=1):
        found = _ask(sample)
        if isinstance(found, Asked):
            asked[found] = None
        else:
            rejections.append(reject(name, number, *found))
    questions = Questions(tuple(asked), tuple(rejections))
    refuse_empty(questions, name)
    return Log(questions, grader, chosen)


def _choose_grader(log: Any, name: str) -> tuple[GraderConfig, str]:
    """Take the first of the log's scorers that can be had here."""
    scorers = {it.name.rpartition("/")[2]: it.options or {} for it in log.eval.scorers or ()}
    for scorer, options in scorers.items():
        if scorer == "choice":
            return GraderConfig(type="exact", marker=_MARK), f"exact after {_MARK}, because the log says choice"
        if scorer in _KNOWN:
            told = ", ".join(f"{key}={value!r}" for key, value in options.items())
            return InspectConfig(scorer=scorer, options=options), f"{scorer}({told}) of inspect_ai, as the log says"
    message = f"is scored by {', '.join(scorers) or 'nothing'}; only {', '.join(_KNOWN)} and choice can be had here"
    remedy = "write a card evals/<name>.yaml with inspect: the log, and a grader of your own, such as a rubric"
    raise UserError(Problem(message, file=name, key="inspect", remedy=remedy))


def _ask(sample: Any) -> Asked | tuple[str, str]:
    """Read a sample, or say why it cannot be asked: in a word, and in words."""
    text, targets = _text(sample.input), [sample.target] if isinstance(sample.target, str) else sample.target
    if text is None:
        return "roles", "is a conversation, or more than text"
    if not text.strip():
        return "empty", "input is empty"
    if len(targets) != 1:
        return "several_answers", f"has {len(targets)} right answers"
    question = _as_asked(sample, text)
    if question is None:
        options = [f"{chr(ord('A') + place)}) {it}" for place, it in enumerate(sample.choices or ())]
        ending = ["", f"Answer with {_MARK} and the letter of the right choice."] if options else []
        question = "\n".join([text, *([""] if options else []), *options, *ending])
    return Asked(question.strip(), targets[0].strip() or None, sought=text.strip())


def _text(given: Any) -> str | None:
    """Give the text of an input; None where it is more than one turn of a user."""
    if isinstance(given, str):
        return given
    if len(given) != 1 or given[0].role != "user" or not isinstance(given[0].content, str):
        return None
    return str(given[0].content)


def _as_asked(sample: Any, text: str) -> str | None:
    """Give the turns before the first answer, where they are one question; None where nothing was asked yet."""
    turns: list[Any] = []
    for turn in sample.messages:
        if turn.role == "assistant":
            break
        turns.append(turn)
    users = [it.text for it in turns if it.role == "user"]
    if len(users) != 1 or text.strip() not in users[0] or not {it.role for it in turns} <= {"system", "user"}:
        return None
    return "\n\n".join([*(it.text for it in turns if it.role == "system"), users[0]])
