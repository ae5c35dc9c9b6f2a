from __future__ import annotations

from typing import get_args

from tft.config.campaign import TuitionConfig
from tft.tutor.values import NEEDED


def test_every_way_to_teach_says_which_roles_it_needs() -> None:
    assert set(NEEDED) == set(get_args(TuitionConfig.model_fields["methods"].annotation))
