"""What all tests share: hypothesis without a stopwatch, and the small student that ships."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedTokenizerBase

    from tft.student import StudentRef

# A loaded machine is slow, not wrong; and where nobody can look into a rare example, the same ones are tried.
settings.register_profile("tft", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("tft")


@pytest.fixture(scope="session")
def novice() -> Path:
    """Give the folder of the small student."""
    return Path(__file__).parents[1] / "tutors" / "abacus" / "novice-a"


@pytest.fixture(scope="session")
def tokenizer(novice: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(novice)


@pytest.fixture(scope="session")
def ada(novice: Path) -> StudentRef:
    """Give a student that has learned nothing yet and trains every weight."""
    from tft.config.adapters import FullAdapter
    from tft.library import fingerprint_model
    from tft.student import StudentRef

    return StudentRef("ada", str(novice), fingerprint_model(str(novice)), FullAdapter())


@pytest.fixture(scope="module")
def free_port() -> int:
    """Give a port that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Fix the order of sums while a test runs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
