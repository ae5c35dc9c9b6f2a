from __future__ import annotations

import pickle

import pytest

from tft.errors import Problem, TFTError, UserError


def every_class(root: type[TFTError]) -> list[type[TFTError]]:
    # Ray makes more of them, for errors that cross from its workers.
    ours = [child for child in root.__subclasses__() if child.__module__ == root.__module__]
    return [root, *(found for child in ours for found in every_class(child))]


@pytest.mark.parametrize("kind", every_class(TFTError))
def test_every_error_survives_pickling(kind: type[TFTError]) -> None:
    error = kind("what failed")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), copy.args, copy.exit_code) == (str(error), error.args, error.exit_code)


def test_a_user_error_keeps_its_problems_through_pickling() -> None:
    problems = (Problem("is wrong", "a.yaml", "b", "7", "write 8"), Problem("is missing"))
    copy = pickle.loads(pickle.dumps(UserError(*problems)))
    assert copy.problems == problems
    assert str(copy) == "a.yaml: b: is wrong (got 7)\n    write 8\nis missing"


def test_exit_codes() -> None:
    codes = {kind.__name__: kind.exit_code for kind in every_class(TFTError)}
    assert codes == {"TFTError": 1, "UserError": 2, "PrerequisiteError": 3, "StageError": 1, "BudgetError": 1,
                     "RefusedError": 1, "EngineLostError": 1}  # fmt: skip
