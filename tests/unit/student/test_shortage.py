"""Where memory runs out while a student is not learning, fewer rows are in it, and the answers stay."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import items
import pytest
import torch

from tests.making import make_item
from tests.unit.student.test_heads import head, saved
from tft.engines.transformers import TransformersEngine
from tft.ports import Sampling
from tft.records import Attempt
from tft.student import StudentRef, models, write_checkpoint
from tft.student.adapting import write_down
from tft.student.heads import HeadedModel
from tft.student.models import adapt, attempt, close_students, draft, open_reader, open_student
from tft.student.shortage import AtOnce, give_back, in_parts, is_out_of_memory

ERROR = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
ITEMS = [make_item(question) for question in islice(items.draw("sub_2", Random(1)), 11)]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any, str, int], list[int]]]:
    """Let memory run out where a method is given more rows; what is known of students is as it was."""
    monkeypatch.setattr(models, "_at_once", defaultdict(AtOnce))

    def forget(where: Any, name: str, most: int) -> list[int]:
        seen: list[int] = []
        plain = getattr(where, name)

        def short(it: Any, rows: Any, *beside: Any) -> Any:
            seen.append(len(rows))
            if len(rows) > most:
                raise ERROR
            return plain(it, rows, *beside)

        monkeypatch.setattr(where, name, short)
        return seen

    return forget


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (ERROR, True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (torch.AcceleratorError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in the docs"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"), False),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
    ],
    ids=lambda it: str(it)[:40],
)
def test_memory_that_ran_out_is_known_by_the_words_for_it(error: RuntimeError, short: bool) -> None:
    assert is_out_of_memory(error) is short


def test_parts_are_halved_until_they_fit() -> None:
    asked: list[int] = []

    def call(size: int) -> str:
        asked.append(size)
        if size > 3:
            raise ERROR
        return "done"

    assert in_parts(call, 13) == ("done", 3)
    assert asked == [13, 6, 3]
    assert in_parts(call, 2) == ("done", None)


@pytest.mark.parametrize(
    ("error", "asked"), [(ERROR, [6, 3, 1]), (RuntimeError("shapes do not fit"), [6])], ids=["memory", "another"]
)
def test_what_does_not_help_is_said(error: RuntimeError, asked: list[int]) -> None:
    seen: list[int] = []

    def call(size: int) -> str:
        seen.append(size)
        raise error

    with pytest.raises(type(error)):
        in_parts(call, 6)
    assert seen == asked


def same(ones: tuple[Attempt, ...], others: tuple[Attempt, ...]) -> bool:
    """Say whether answers are alike, but for the last bit of how sure they are."""
    plain = [[replace(it, confidence=None) for it in answers] for answers in (ones, others)]
    sure = [[it.confidence for it in answers] for answers in (ones, others)]
    return plain[0] == plain[1] and sure[0] == pytest.approx(sure[1], abs=1e-4)


class Ring:
    """Something that holds on to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let there be a GPU, to which memory is given back."""
    calls: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("back"))
    return calls


def test_a_gpu_gets_back_what_nobody_uses(given_back: list[str]) -> None:
    lost = weakref.ref(Ring())
    give_back()
    assert lost() is None
    assert given_back == ["back"]


def test_it_has_it_before_fewer_rows_are_tried(given_back: list[str]) -> None:
    def call(size: int) -> None:
        given_back.append(f"{size} rows")
        if size > 2:
            raise ERROR

    in_parts(call, 8)
    assert given_back == ["8 rows", "back", "4 rows", "back", "2 rows"]


def test_students_that_are_closed_leave_nothing(
    ada: StudentRef, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    learned = saved(replace(ada, adapter=head("classifier", "full")), tmp_path / "c")
    opened = [weakref.ref(it) for it in (open_student(ada).model, open_reader(learned).model)]
    assert all(it() is not None for it in opened)
    given_back = request.getfixturevalue("given_back")
    close_students()
    assert not any(it() is not None for it in opened)
    assert given_back == ["back"]


@pytest.mark.parametrize("temperature", [0.0, 1.5], ids=["greedy", "sampled"])
def test_answers_stay_where_fewer_are_written_at_once(
    temperature: float, ada: StudentRef, forgetful: Callable[..., list[int]], tmp_path: Path
) -> None:
    sampling = Sampling(16, temperature, seed=3)
    whole = attempt(ada, ITEMS, sampling)
    written = forgetful(TransformersEngine, "_decode", 3)
    assert same(attempt(ada, ITEMS, sampling), whole)
    assert written == [11, 5, 2, 2, 2, 2, 2, 1]
    # From now on it is known, of what the student becomes later, too.
    learned = save(ada, tmp_path / "c")
    assert same(draft(learned, ITEMS, sampling), whole)
    assert written[8:] == [2, 2, 2, 2, 2, 1]


def save(student: StudentRef, folder: Path) -> StudentRef:
    """Write a student down as it is."""
    model, tokenizer = adapt(student, 1)
    digest = write_checkpoint(folder, lambda aside: write_down(model, tokenizer, student.adapter, aside))
    return replace(student, checkpoint_path=str(folder), digest=digest)


def test_what_a_head_says_stays_where_fewer_are_read_at_once(
    ada: StudentRef, forgetful: Callable[..., list[int]], tmp_path: Path
) -> None:
    learned = saved(replace(ada, adapter=head("classifier", "full")), tmp_path / "c")
    whole = attempt(learned, ITEMS, Sampling(8))
    read = forgetful(HeadedModel, "states", 3)
    assert same(attempt(learned, ITEMS, Sampling(8)), whole)
    assert read == [11, 5, 2, 2, 2, 2, 2, 1]
    assert len(open_reader(learned).read([[1, 2, 3]] * 4)) == 4
    assert read[8:] == [2, 2]


def test_one_answer_that_does_not_fit_is_said(ada: StudentRef, forgetful: Callable[..., list[int]]) -> None:
    written = forgetful(TransformersEngine, "_decode", 0)
    with pytest.raises(torch.OutOfMemoryError):
        attempt(ada, ITEMS[:4], Sampling(8))
    assert written == [4, 2, 1]
    assert attempt(ada, (), Sampling(8)) == ()
