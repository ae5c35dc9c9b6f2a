from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.mastery import DECISIONS, World, _binomial, fixed_exam, rest, run, sequential, simulate, walk


def test_simulated_students_are_covered_and_asked_less_than_all() -> None:
    found = simulate(World(), 300, seed=0)
    assert found.truth.shape == (4, 300)
    assert 0.91 < found.covered.mean() < 0.98
    assert 0 < found.asked.mean() < 16
    assert found.asked.max() == 32


def test_a_walk_keeps_abilities_uniform() -> None:
    rng = np.random.default_rng(0)
    abilities = rng.random(20_000)
    for _ in range(5):
        abilities = walk(rng, abilities, abilities)
    assert np.histogram(abilities, 10, (0, 1))[0].min() > 1_850


def test_who_rests_is_asked_no_more() -> None:
    found = simulate(World(rest), 100, seed=0)
    assert (found.truth == found.truth[0]).all()
    assert found.asked[1:].mean() < found.asked[0].mean()


def test_the_fixed_exam_is_the_shortest_that_keeps_both_errors() -> None:
    length, mark = fixed_exam(0.85, 0.95)
    assert (length, mark) == (93, 85)
    assert _binomial(93, 0.85)[85:].sum() <= 0.05
    assert _binomial(93, 0.95)[:85].sum() <= 0.05


def test_a_test_that_may_not_stop_is_an_exam() -> None:
    abilities = np.array([0.2, 0.85, 0.95])
    strict = replace(DECISIONS, thresholds=(0.9,), zone=1e-6)
    above, questions = sequential(abilities, 0.9, strict, most=40)
    assert questions == pytest.approx(40)
    # The median of a belief after 40 answers is 0.9 or more from 37 right.
    assert above == pytest.approx([_binomial(40, share)[37:].sum() for share in abilities])


def test_a_test_that_begins_after_a_check_asks_that_many_at_least() -> None:
    _, questions = sequential(np.array([0.01, 0.9]), 0.9, DECISIONS, most=128, first=96)
    assert questions[0] == pytest.approx(96)
    assert 96 < questions[1] <= 128


def test_an_option_it_does_not_know_is_refused() -> None:
    with pytest.raises(SystemExit, match="known: --students"):
        run(["--pupils", "3"])
