from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tft.training.divergence import Divergence, divergence

KINDS: tuple[Divergence, ...] = get_args(Divergence)
EPSILON = float(torch.finfo(torch.float32).eps)

every_kind = pytest.mark.parametrize("kind", KINDS)


def logits(rows: int, size: int) -> st.SearchStrategy[torch.Tensor]:
    row = st.lists(st.floats(-6, 6), min_size=size, max_size=size)
    return st.lists(row, min_size=rows, max_size=rows).map(lambda it: torch.tensor(it, dtype=torch.float64))


both = st.integers(2, 8).flatmap(lambda size: st.tuples(logits(3, size), logits(3, size)))
mixtures = st.floats(0.05, 0.95)


def plain(kind: Divergence, student: list[float], tutor: dict[int, float], mixture: float) -> float:
    """Measure one place token by token; what has no probability adds nothing, and a tail has a little at least."""
    pairs = [(p, student[token]) for token, p in tutor.items() if token < len(student)]
    q_tail = 1 - sum(q for _, q in pairs)
    if len(pairs) < len(student):
        pairs.append((max(EPSILON, 1 - sum(p for p, _ in pairs)), q_tail))
    total = 0.0
    for p, q in pairs:
        m = mixture * p + (1 - mixture) * q
        forward = p * math.log(p / q) if p > 0 else 0.0
        backward = q * math.log(q / p) if q > 0 else 0.0
        apart = (mixture * p * math.log(p / m) if p > 0 else 0) + ((1 - mixture) * q * math.log(q / m) if q > 0 else 0)
        total += {"forward_kl": forward, "reverse_kl": backward, "jensen_shannon": apart}[kind]
    return total


@every_kind
@given(both, st.data(), mixtures)
def test_it_is_that_of_a_plain_loop(
    kind: Divergence, pair: tuple[torch.Tensor, torch.Tensor], data: Any, mixture: float
) -> None:
    student, tutor = pair
    top, ids = tutor.log_softmax(-1).topk(data.draw(st.integers(1, tutor.shape[1] - 1)), -1)
    found = divergence(kind, student, top, ids, mixture)
    for place in range(len(student)):
        given_there = dict(zip(ids[place].tolist(), top[place].exp().tolist(), strict=True))
        expected = plain(kind, student[place].softmax(-1).tolist(), given_there, mixture)
        assert found[place].item() == pytest.approx(expected, rel=1e-6, abs=1e-6)


@every_kind
@given(both, st.data(), mixtures)
def test_it_is_never_below_nought_and_what_is_left_out_never_adds(
    kind: Divergence, pair: tuple[torch.Tensor, torch.Tensor], data: Any, mixture: float
) -> None:
    student, tutor = pair
    whole = divergence(kind, student, tutor.log_softmax(-1), None, mixture)
    top, ids = tutor.log_softmax(-1).topk(data.draw(st.integers(1, tutor.shape[1] - 1)), -1)
    cut = divergence(kind, student, top, ids, mixture)
    assert (cut > -1e-6).all()
    assert (cut < whole + 1e-5).all()


@every_kind
@given(both, st.data(), mixtures)
def test_it_is_nought_only_where_both_agree_on_what_was_given(
    kind: Divergence, pair: tuple[torch.Tensor, torch.Tensor], data: Any, mixture: float
) -> None:
    student, tutor = pair
    size = data.draw(st.integers(1, tutor.shape[1] - 1))
    top, ids = tutor.log_softmax(-1).topk(size, -1)
    apart = (top.exp() - student.softmax(-1).gather(-1, ids)).abs().sum(-1)
    # Pinsker: a divergence is half the square of that at least, and a mixture's β (1 − β) times that.
    share = mixture * (1 - mixture) if kind == "jensen_shannon" else 1.0
    assert (divergence(kind, student, top, ids, mixture) >= 0.5 * share * apart**2 - 1e-6).all()
    same, ids = student.log_softmax(-1).topk(size, -1)
    assert divergence(kind, student, same, ids, mixture).abs().max().item() < 1e-5
    assert divergence(kind, student, student.log_softmax(-1), None, mixture).abs().max().item() < 1e-9


@every_kind
@given(both)
def test_moving_to_the_tutor_brings_it_nearer(kind: Divergence, pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, tutor = pair
    student.requires_grad_()
    found = divergence(kind, student, tutor.log_softmax(-1)).sum()
    (slope,) = torch.autograd.grad(found, student)
    with torch.no_grad():
        after = divergence(kind, student - 1e-3 * slope, tutor.log_softmax(-1)).sum()
    assert after.item() <= found.item() + 1e-9


def value_and_slope(kind: Divergence, *given_things: Any) -> tuple[torch.Tensor, torch.Tensor]:
    student = given_things[0].clone().requires_grad_()
    found = divergence(kind, student, *given_things[1:])
    return found.detach(), torch.autograd.grad(found.sum(), student)[0]


STUDENT = torch.tensor([[0.3, -1.2, 0.8, 0.1, -0.4, 1.5], [2.0, 0.0, -0.5, 0.7, 0.2, -1.0]])
TUTOR = torch.tensor([[1.0, 0.2, -0.7, 0.4, 2.0, -0.1], [0.1, 0.9, 1.4, -2.0, 0.0, 0.6]])


@every_kind
def test_all_tokens_in_another_order_are_all_tokens(kind: Divergence) -> None:
    # So do engines give them that list the likeliest first.
    tutor = TUTOR.log_softmax(-1)
    expected, slope = value_and_slope(kind, STUDENT, tutor)
    top, ids = tutor.sort(-1, descending=True)
    found, found_slope = value_and_slope(kind, STUDENT, top, ids)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(found_slope, slope, atol=1e-5)


@every_kind
def test_all_tokens_but_one_leave_that_one_as_the_tail(kind: Divergence) -> None:
    tutor = TUTOR.log_softmax(-1)
    expected, slope = value_and_slope(kind, STUDENT, tutor)
    found, found_slope = value_and_slope(kind, STUDENT, *tutor.topk(5, -1))
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(found_slope, slope, atol=1e-5)


@every_kind
def test_tokens_that_the_student_does_not_have_are_the_tutors_tail(kind: Divergence) -> None:
    # The tutor has two more, and gives each of its four likeliest: 6 and 7 are not the student's.
    ids = torch.tensor([[7, 0, 1, 2], [0, 6, 4, 3]])
    top = torch.tensor([[0.3, 0.2, 0.1, 0.1], [0.4, 0.3, 0.1, 0.1]]).log()
    found, slope = value_and_slope(kind, STUDENT, top, ids)
    for place in range(2):
        tutor = dict(zip(ids[place].tolist(), top[place].exp().tolist(), strict=True))
        expected = plain(kind, STUDENT[place].softmax(-1).tolist(), tutor, 0.5)
        assert found[place].item() == pytest.approx(expected, rel=1e-4)
    assert slope.isfinite().all()


@every_kind
def test_places_that_are_not_filled_add_nothing(kind: Divergence) -> None:
    # An engine that gives fewer tokens than asked for leaves token 0 there, without probability.
    top = torch.tensor([[0.5, 0.2, 0.0], [0.6, 0.0, 0.0]]).log()
    ids = torch.tensor([[2, 1, 0], [3, 0, 0]])
    found, slope = value_and_slope(kind, STUDENT, top, ids)
    for place, tutor in enumerate(({2: 0.5, 1: 0.2}, {3: 0.6})):
        expected = plain(kind, STUDENT[place].softmax(-1).tolist(), tutor, 0.5)
        assert found[place].item() == pytest.approx(expected, rel=1e-4)
    assert slope.isfinite().all()


@every_kind
def test_a_student_with_more_tokens_puts_them_into_its_tail(kind: Divergence) -> None:
    tutor = TUTOR[:, :4].log_softmax(-1)
    found, slope = value_and_slope(kind, STUDENT, tutor)
    for place in range(2):
        expected = plain(kind, STUDENT[place].softmax(-1).tolist(), dict(enumerate(tutor[place].exp().tolist())), 0.5)
        assert found[place].item() == pytest.approx(expected, rel=1e-3)
    assert slope.isfinite().all()
    # What it puts there it had better put elsewhere.
    assert (slope[:, 4:] > 0).all()


@every_kind
def test_a_tutor_with_more_tokens_is_read_as_far_as_the_student_goes(kind: Divergence) -> None:
    # Padding of a vocabulary is never said.
    wide = torch.cat([TUTOR, torch.full((2, 3), -30.0)], -1).log_softmax(-1)
    expected, slope = value_and_slope(kind, STUDENT, TUTOR.log_softmax(-1))
    found, found_slope = value_and_slope(kind, STUDENT, wide)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(found_slope, slope, atol=1e-5)


@every_kind
@pytest.mark.parametrize("top", [1, 2, None])
def test_a_tutor_that_is_certain_leaves_everything_finite(kind: Divergence, top: int | None) -> None:
    sure = torch.tensor([[0.0, -200.0, -300.0, -200.0, -200.0, -200.0]] * 2)
    assert sure.log_softmax(-1).max().item() == 0.0
    given_there = (sure, None) if top is None else sure.topk(top, -1)
    found, slope = value_and_slope(kind, STUDENT, *given_there)
    assert found.isfinite().all() and slope.isfinite().all()
    assert (found > 0).all()
    assert (slope[:, 0] < 0).all() and (slope[:, 1:] > 0).any()


@every_kind
def test_a_student_that_is_certain_leaves_everything_finite(kind: Divergence) -> None:
    sure = torch.tensor([[90.0, 0.0, 0.0, 0.0, 0.0, 0.0], [-90.0, 0.0, 0.0, 0.0, 0.0, 90.0]])
    for given_there in ((TUTOR.log_softmax(-1), None), TUTOR.log_softmax(-1).topk(2, -1)):
        found, slope = value_and_slope(kind, sure, *given_there)
        assert found.isfinite().all() and slope.isfinite().all()


def test_without_a_tail_probability_could_hide() -> None:
    # The student is sure of a token that the tutor did not give; among those given, both agree. That must cost.
    student = torch.tensor([[0.0, 0.0, 9.0]])
    for kind in KINDS:
        assert divergence(kind, student, torch.tensor([[0.5, 0.49]]).log(), torch.tensor([[0, 1]])).item() > 0.1
