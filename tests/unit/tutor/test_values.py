from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast, get_args

import pytest

from tft.config.campaign import TuitionConfig
from tft.tutor.values import NEEDED, roles_asked, roles_needed

if TYPE_CHECKING:
    from tft.config.cards import TutorCard


def test_every_way_to_teach_says_which_roles_it_needs() -> None:
    assert set(NEEDED) == set(get_args(TuitionConfig.model_fields["methods"].annotation))


@pytest.mark.parametrize(
    ("methods", "questions", "roles"),
    [
        ("auto", "auto", ("author", "demonstrator", "critic")),
        ("auto", "curriculum", ("demonstrator", "critic")),
        ("demonstration", "tutor", ("author", "demonstrator")),
        ("practice", "curriculum", ()),
        ("critique", "auto", ("critic",)),
    ],
)
def test_an_author_is_needed_where_the_tutor_asks(methods: str, questions: str, roles: tuple[str, ...]) -> None:
    tuition = TuitionConfig.model_validate({"methods": methods, "questions": questions})
    assert roles_needed(tuition, judged=False) == roles
    assert roles_needed(tuition, judged=True) == (*roles, "judge")


@pytest.mark.parametrize(("questions", "asked"), [("curriculum", ("demonstrator",)), ("auto", ())])
def test_preferences_ask_for_what_the_tutor_can_show(questions: str, asked: tuple[str, ...]) -> None:
    tuition = TuitionConfig.model_validate({"methods": "preference", "questions": questions})
    card = cast("TutorCard", SimpleNamespace(roles={"demonstrator": None}))
    assert roles_asked(tuition, card, judged=False) == asked
