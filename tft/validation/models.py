"""Checks every model a config names: where it lies, whether it can be reached, and that no judge teaches or is taught.

The hub is asked once a model, all of them at the same time, and given up on after a second. Left out on purpose:
fetching anything.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tft.config.campaign import EngineConfig
from tft.config.reading import closest
from tft.errors import Problem, UserError
from tft.exams.judges import ANOTHER
from tft.library import Library, Model, split_revision
from tft.validation.content import engine_of
from tft.validation.draft import Draft, Named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.validation.content import Content

_HUB_SECONDS = 0.8
_SAMPLE = 1 << 20


@dataclass(slots=True)
class Use:
    """A model that is named somewhere, and what became of the name."""

    who: str
    """``tutor``, ``examiner``, ``judge`` with the card that names it, or the key of a student."""
    named: Named
    model: Model | None = None
    folder: str | None = None
    """Where its files lie on this machine; None for what would be fetched."""
    trouble: str | None = None
    engine: EngineConfig | None = None
    """What runs it, where it is a judge."""


def check_models(draft: Draft, library: Library, content: Content, problems: list[Problem]) -> list[Use]:
    """Find every model, and say which cannot be reached."""
    uses = [Use(named.key, named) for _, named in draft.students]
    judges = [Use(f"judge {named.file}", named, engine=judge.engine) for named, judge in content.judges]
    examiner = draft.config.exams.examiner
    if draft.examiner is not None:
        judges.insert(0, Use("examiner", draft.examiner, engine=examiner.engine if examiner is not None else None))
    uses += [use for use in judges if use.engine is None or use.engine.type != "endpoint"]
    tutor = _tutor(draft, library, content, problems)
    if tutor is not None:
        uses.append(tutor)
    for use in uses:
        beside = content.tutor_folders if use.who == "tutor" and draft.tutor_model is None else ()
        _resolve(use, library, beside, problems)
    _ask_hub([use for use in uses if use.model is not None and use.model.kind == "hub"])
    problems += [use.named.problem(use.trouble, _remedy(use, library)) for use in uses if use.trouble is not None]
    for judge in judges:
        _check_judge(judge, draft, uses, problems)
    return uses


def _tutor(draft: Draft, library: Library, content: Content, problems: list[Problem]) -> Use | None:
    engine = engine_of(draft, content)
    if engine is not None and engine.type == "endpoint" and (engine.model or draft.tutor_model):
        return None  # the endpoint has it
    if draft.tutor_model is not None:
        return Use("tutor", draft.tutor_model)
    if content.tutor is None or content.tutor_path is None:
        return None
    if content.tutor.model is None:
        message = f"the tutor {content.tutor.tutor} brings no model of its own"
        remedy = f"name one: tutor: {{use: {content.tutor.tutor}, model: …}}"
        problems.append(Problem(message, draft.file, "tutor.model", remedy=remedy))
        return None
    use = Use("tutor", Named(str(content.tutor_path), "model", content.tutor.model))
    if engine is not None and engine.type == "endpoint":
        _resolve(use, library, content.tutor_folders, [])
        if use.model is not None and use.model.kind == "hub":
            return None  # a name that the endpoint knows
    return use


def _resolve(use: Use, library: Library, card_folders: Sequence[Path], problems: list[Problem]) -> None:
    try:
        use.model = library.model(use.named.name, card_folders=card_folders)
    except UserError as error:
        for it in error.problems:
            remedy = it.remedy or _remedy(use, library)
            problems.append(Problem(it.message, it.file or use.named.file, it.key or use.named.key, it.value, remedy))
        return
    if use.model.kind == "hub":
        return
    use.folder = use.model.address
    if not any(Path(use.folder).glob("*.safetensors")):
        use.trouble = "the folder holds no *.safetensors"


def _remedy(use: Use, library: Library) -> str:
    known = closest(use.named.name, library.model_names())
    return f"in the library, {known}; or check the network, or give a folder with path:"


def _ask_hub(uses: list[Use]) -> None:
    """Ask the cache, then the hub; daemon threads, so that a name server that hangs holds nobody up."""
    answers: dict[str, str | None] = {}
    names = {use.model.address for use in uses if use.model is not None}
    threads = [threading.Thread(target=_ask, args=(name, answers), daemon=True) for name in names]
    if threads:
        import huggingface_hub  # noqa: F401  # here and not in the threads, which would wait for each other
    deadline = time.monotonic() + _HUB_SECONDS + 0.2
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    for use in uses:
        assert use.model is not None
        answer = answers.get(use.model.address, "is no model here, and the hub did not answer")
        if answer is None or not answer.startswith("/"):
            use.trouble = answer
        else:
            use.folder = answer


def _ask(name: str, answers: dict[str, str | None]) -> None:
    """Find out about one model: None where the hub has it, a folder where the cache has it, else the trouble."""
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        bare, revision = split_revision(name)
        cached = try_to_load_from_cache(bare, "config.json", revision=revision)
        if isinstance(cached, str):
            answers[name] = str(Path(cached).parent.absolute())
            return
        HfApi().model_info(bare, revision=revision, timeout=_HUB_SECONDS)
        answers[name] = None
    except HFValidationError:
        answers[name] = "is neither in the library, nor a folder with a model, nor a name the hub could have"
    except GatedRepoError:
        answers[name] = "is on the hub, but you have no access to it"
    except (RepositoryNotFoundError, RevisionNotFoundError):
        answers[name] = "is neither in the library, nor a folder with a model, nor on the hub"
    except Exception as error:  # the hub fails in many ways, and all of them mean: not there
        answers[name] = f"is no model here, and the hub could not be asked ({type(error).__name__})"


def _check_judge(judge: Use, draft: Draft, uses: list[Use], problems: list[Problem]) -> None:
    """Refuse a judge that is the tutor or a student: it would examine what it taught, or itself (distanciation)."""
    names = {it.name for it in (draft.tutor, draft.tutor_model) if it is not None}
    engine = draft.config.tutor.engine
    if engine is not None and engine.type == "endpoint" and engine.model is not None:
        names.add(engine.model)
    called = {judge.named.name}
    if judge.engine is not None and judge.engine.type == "endpoint" and judge.engine.model is not None:
        called = {judge.engine.model}
    students = {named.key: student for student, named in draft.students}
    tutor = next((use for use in uses if use.who == "tutor"), None)
    if called & names or (tutor is not None and _same(judge, tutor)):
        problems.append(judge.named.problem("is the tutor's own model, and the tutor may not examine", ANOTHER))
    for use in uses:
        if use.who in students and _same(judge, use):
            message = f"is the model of student {students[use.who]}, and no student may examine"
            problems.append(judge.named.problem(message, ANOTHER))


def _same(one: Use, other: Use) -> bool:
    if one.named.name == other.named.name:
        return True
    if one.model is not None and other.model is not None and one.model.address == other.model.address:
        return True
    return one.folder is not None and other.folder is not None and _sample(one.folder) == _sample(other.folder)


def _sample(folder: str) -> list[tuple[int, str]]:
    """Tell weights apart without reading gigabytes: size, first and last mebibyte of each file."""
    sampled = []
    for path in sorted(Path(folder).glob("*.safetensors")):
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_SAMPLE)
            file.seek(max(0, size - _SAMPLE))
            sampled.append((size, hashlib.sha256(head + file.read()).hexdigest()))
    return sampled or [(0, folder)]
