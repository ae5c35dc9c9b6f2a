"""Tasks of the Language Model Evaluation Harness (Gao et al.), and what they ask; how they are sat is next door.

Left out on purpose: pictures and sound.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tft.config.suites import LmEvalCard
from tft.errors import PrerequisiteError, Problem, UserError
from tft.exams.questions import Asked
from tft.records import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GRADER = "lm-eval"
_TOLD = 300
"""Characters of what lm-eval says went wrong."""


@dataclass(frozen=True, slots=True)
class TaskRef:
    """All it takes to sit a task anywhere."""

    task_path: str
    """Its YAML file, or its name."""
    digest: str
    """Names its config, its questions and the version of lm-eval."""
    card: LmEvalCard
    limit: int | None
    """Questions a task, at most."""


def find_task(card: LmEvalCard, folder: Path) -> str:
    """Say where the YAML file of a task lies; give its name where it is none.

    Raises:
        UserError: if the file is not there.
    """
    if Path(card.task).suffix not in (".yaml", ".yml"):
        return card.task
    path = folder / Path(card.task).expanduser()
    if not path.is_file():
        remedy = "name a task file, or a task that `lm-eval ls tasks` lists"
        raise UserError(Problem("there is no such task file", key="lm_eval.task", value=card.task, remedy=remedy))
    return str(path.resolve())


def read_task(card: LmEvalCard, folder: Path, limit: int | None = None) -> tuple[list[Asked], TaskRef] | str:
    """Read the questions of a task, in the words in which lessons are searched for them; or say why there are none.

    Args:
        card: the task.
        folder: where the card lies that names it.
        limit: questions a task, at most.

    Raises:
        UserError: if there is no such task, or it is not for texts.
        PrerequisiteError: if lm-eval is not installed.
    """
    where = find_task(card, folder)
    tasks = load_tasks(where, card)
    if isinstance(tasks, str):
        return tasks
    asked = [_asked(task, doc, name) for name, task in tasks.items() for doc in _docs(task, limit)]
    if len(tasks) == 1:
        asked = [Asked(it.question, it.reference) for it in asked]
    told = {name: _config(task) for name, task in tasks.items()}
    questions = [[it.question, it.reference, it.group] for it in asked]
    return asked, TaskRef(where, digest([version("lm_eval"), told, questions]), card, limit)


def load_tasks(where: str, card: LmEvalCard) -> dict[str, Any] | str:
    """Load a task, or the tasks of a group, by name; where its data cannot be read, say so."""
    try:
        from lm_eval.tasks import TaskManager
        from lm_eval.tasks._yaml_loader import load_yaml
    except ImportError as error:
        raise PrerequisiteError(f"{where} is a task of lm-eval, which is not installed: pip install lm-eval") from error
    local = Path(where).is_absolute()
    try:
        spec = _found_from(load_yaml(where), Path(where).parent) if local else where
        tasks: dict[str, Any] = TaskManager(include_defaults=not local or "group" in spec).load([spec])["tasks"]
    except KeyError:
        remedy, key = "name one that `lm-eval ls tasks` lists, or a YAML file", "lm_eval.task"
        raise UserError(Problem("lm-eval has no task of this name", key=key, value=where, remedy=remedy)) from None
    except OSError as error:
        return f"lm-eval cannot reach the data of {card.task} ({_told(error)})"
    except Exception as error:  # lm-eval, and the user's own code, raise whatever they like
        problem = Problem(f"lm-eval cannot load it: {_told(error)}", key="lm_eval.task", value=where, remedy="mend it")
        raise UserError(problem) from error
    for task in tasks.values():
        if card.fewshot is not None or task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=card.fewshot or 0)
    return tasks


def _found_from(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Look files of data up beside the task as well; lm-eval looks in the current folder alone."""
    options = dict(config.get("dataset_kwargs") or {})

    def place(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: place(it) for name, it in value.items()}
        if isinstance(value, list):
            return [place(it) for it in value]
        beside = folder / str(value)
        return str(beside.resolve()) if not Path(str(value)).is_file() and beside.is_file() else value

    if "data_files" in options:
        options["data_files"] = place(options["data_files"])
    return {**config, "dataset_kwargs": options} if options else config


def _docs(task: Any, limit: int | None) -> Iterator[Mapping[str, Any]]:
    if getattr(task, "MULTIMODAL", False):
        name = str(task.task_name)
        raise UserError(Problem("is not for texts alone", key="lm_eval.task", value=name, remedy="name another"))
    return (doc for _, doc in task.doc_iterator(limit=limit))


def _config(task: Any) -> str:
    """Write the config of a task, without where it lies."""
    told = {name: it for name, it in task.dump_config().items() if name not in ("dataset_kwargs", "metadata")}
    return json.dumps(told, sort_keys=True, default=str)


def _asked(task: Any, doc: Mapping[str, Any], name: str) -> Asked:
    """Give what a task asks: what it says that lessons may not hold, its text, or the texts it chooses from."""
    text = task.doc_to_decontamination_query(doc) if task.should_decontaminate() else task.doc_to_text(doc)
    if not isinstance(text, str):
        text = "\n".join(map(str, task.doc_to_choice(doc)))
    return Asked(text.strip(), _reference(task, doc), name)


def _reference(task: Any, doc: Mapping[str, Any]) -> str:
    target = task.doc_to_target(doc)
    if task.config.doc_to_choice is not None and isinstance(target, int):
        choices = task.doc_to_choice(doc)
        return str(choices[target]) if 0 <= target < len(choices) else ""
    return str(target)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_TOLD]
