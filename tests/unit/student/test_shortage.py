"""Where memory runs out while a student is not learning, fewer rows are in it, and the answers stay."""

from __future__ import annotations

import pytest
import torch

from tft.student.shortage import in_parts, is_out_of_memory

ERROR = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


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
