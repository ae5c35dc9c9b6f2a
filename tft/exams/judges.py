"""Who grades by a rubric: a model that is found by its name, and that is neither the tutor nor a student.

What teaches and what is taught may not examine: a judge would pass its own words (distanciation).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tft.config.suites import RubricConfig
from tft.errors import Problem, UserError
from tft.graders.rubric import JudgeRef
from tft.library import fetch_weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tft.config.campaign import JudgeConfig
    from tft.exams.suites import Suite
    from tft.library import Library

NOBODY = "nobody is named to grade by its rubric"
NAME_ONE = "write judge: {model: …} in its grader, or name an examiner in the exams of the campaign"
ANOTHER = "name another model, or let a rule grade"


def appoint(suite: Suite, library: Library, examiner: JudgeConfig | None) -> Suite:
    """Resolve the judge of a suite that is graded by a rubric; any other suite stays as it is.

    Args:
        suite: as it was read.
        library: where names are looked up.
        examiner: grades where the rubric names no judge.

    Raises:
        UserError: if nobody is named, or a name leads nowhere.
        PrerequisiteError: if the judge's model cannot be reached.
    """
    if not isinstance(suite.grader, RubricConfig) or suite.missing is not None:
        return suite
    judge = suite.grader.judge or examiner
    if judge is None:
        raise UserError(Problem(NOBODY, file=suite.name, key="grader.judge", remedy=NAME_ONE))
    engine = judge.engine
    if engine.type == "endpoint":
        # Nobody here can see its weights; the name stands for them.
        address = fingerprint = engine.model or judge.model
        engine = library.find_tokenizer(engine)
    else:
        address, fingerprint = fetch_weights(library.model(judge.model, key="judge.model"), "judge.model")
    return replace(suite, judge=JudgeRef(address, fingerprint, engine, judge.max_tokens, judge.repairs))


def refuse_judges(suites: Iterable[Suite], others: Mapping[str, str]) -> None:
    """Refuse a judge that teaches or is taught, now that weights can be compared as a whole.

    Args:
        suites: with their judges.
        others: fingerprints of the tutor and of the students, by who they are.

    Raises:
        UserError: with every judge that has the weights of one of them.
    """
    problems = [
        Problem(f"is the same model as {who}, which may not examine", suite.name, "grader.judge.model", remedy=ANOTHER)
        for suite in suites
        for who, fingerprint in others.items()
        if suite.judge is not None and suite.judge.fingerprint == fingerprint
    ]
    if problems:
        raise UserError(*problems)
