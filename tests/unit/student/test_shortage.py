"""Where memory runs out while a student is not learning, fewer rows are in it, and the answers stay."""

from __future__ import annotations

import pytest
import torch

from tft.student.shortage import in_parts

ERROR = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


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
