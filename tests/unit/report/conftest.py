from __future__ import annotations

from typing import Any

import pytest

from .sample import sample_report


@pytest.fixture
def report() -> dict[str, Any]:
    return sample_report()
