from __future__ import annotations

from pathlib import Path

import pytest

from tft.config.campaign import TransformersEngineConfig
from tft.engines.transformers import TransformersEngine


@pytest.fixture(scope="session")
def small(novice: Path) -> TransformersEngine:
    """Give a real engine with a small model."""
    return TransformersEngine.open(str(novice), "novice", TransformersEngineConfig())
