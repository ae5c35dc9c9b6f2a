"""Scorers of inspect_ai that compare texts, as graders: a verdict is what they say there.

Left out on purpose: scorers that ask a model, run code or look at more than the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tft.errors import PrerequisiteError
from tft.records import Item, Verdict

if TYPE_CHECKING:
    from tft.config.suites import InspectConfig

_NOBODY = "mockllm/model"
"""Stands where inspect_ai wants the name of a model."""


class InspectGrader:
    """Compares texts as inspect_ai does.

    Args:
        config: the scorer and its arguments; ``marker`` means nothing here.

    Raises:
        PrerequisiteError: if inspect_ai is not installed.
    """

    name = "inspect"

    def __init__(self, config: InspectConfig) -> None:
        try:
            from inspect_ai import scorer
        except ImportError as error:
            raise PrerequisiteError("the grader needs inspect_ai: pip install inspect-ai") from error
        self._score = getattr(scorer, config.scorer)(**config.options)
        self._scorer = config.scorer

    def grade(self, item: Item, text: str) -> Verdict:
        """Grade an answer."""
        from inspect_ai.model import ModelOutput
        from inspect_ai.scorer import CORRECT, Target
        from inspect_ai.solver import TaskState

        if item.reference is None:
            return Verdict(0.0, "the item has no reference answer", self.name)
        target = Target(item.reference)
        output = ModelOutput.from_content(_NOBODY, text)
        state = TaskState(
            model=_NOBODY, sample_id=0, epoch=1, input=item.question, messages=[], target=target, output=output
        )
        right = _finish(self._score(state, target)).value == CORRECT
        said = "passes" if right else "does not pass"
        return Verdict(float(right), f"{said} {self._scorer} of inspect_ai", self.name)


def _finish(coroutine: Any) -> Any:
    """Give the result of a coroutine that waits for nothing; a loop of events may run already."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a scorer that compares texts does not wait")
