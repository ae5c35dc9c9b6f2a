"""A tutor behind an endpoint that fails three calls in ten teaches what a healthy one teaches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endpoint import FAULTS, Endpoint, serve
from tft.config.campaign import EndpointEngineConfig
from tft.engines import endpoint
from tft.engines.transformers import TransformersEngine, load_model
from tft.errors import PrerequisiteError
from tft.lessons import DemonstrationRequest, demonstrate
from tft.library import shipped
from tft.records import Offered
from tft.tutor import NO_LIMIT, TutorRef
from tft.tutor.roles import _opened

CARD = shipped() / "tutors" / "abacus" / "tutor.yaml"
ITEMS = 60
# Three calls in ten go wrong, each in its turn in every way there is.
BAD = [fault for fault in FAULTS for _ in range(3)]
PLAN = [BAD.pop(0) if place % 10 in (1, 4, 7) else None for place in range(10 * len(FAULTS))]


@pytest.fixture(scope="module")
def abacus() -> TransformersEngine:
    return TransformersEngine(*load_model(CARD.parent / "weights"), "abacus")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Iterator[None]:  # noqa: ARG001
    monkeypatch.setattr(endpoint, "_FIRST_WAIT", 0.01)
    yield
    _opened.cache_clear()


def teach(server: Endpoint, cache: Path) -> Offered:
    engine = EndpointEngineConfig(url=server.url, concurrency=2, timeout=4, deadline=300)
    tutor = TutorRef(str(CARD), "abacus", "abacus", engine, str(cache))
    items = str(shipped() / "curricula" / "arithmetic" / "items.py")
    return demonstrate(DemonstrationRequest(tutor, items, "add_2", "adding", 2, "#", 0, ITEMS, (), (), 7, NO_LIMIT))


def test_faults_cost_calls_and_nothing_else(abacus: TransformersEngine, tmp_path: Path) -> None:
    with serve(abacus) as server:
        healthy, calls = teach(server, tmp_path / "healthy"), server.calls
    _opened.cache_clear()
    with serve(abacus, PLAN) as server:
        troubled = teach(server, tmp_path / "troubled")
        assert sum(server.met.values()) >= 0.28 * server.calls
        assert set(server.met) == set(FAULTS)
        assert server.calls <= 1.5 * calls
    assert len(healthy.lessons) > ITEMS / 2
    assert troubled == healthy


def test_a_batch_that_was_answered_is_not_asked_again(abacus: TransformersEngine, tmp_path: Path) -> None:
    with serve(abacus) as server:
        first, calls = teach(server, tmp_path), server.calls
        again = teach(server, tmp_path)
        assert server.calls == calls
    assert again.lessons == first.lessons
    assert again.usage.cached == again.usage.total > 0


def test_a_batch_that_was_not_finished_goes_on_where_it_was(abacus: TransformersEngine, tmp_path: Path) -> None:
    with serve(abacus) as server:
        healthy, calls = teach(server, tmp_path / "healthy"), server.calls
    _opened.cache_clear()
    # Sixty questions were written, and of their answers some.
    with serve(abacus, [*[None] * (ITEMS + 10), "refuse"]) as server:
        with pytest.raises(PrerequisiteError):
            teach(server, tmp_path / "troubled")
        server.faults = ()
        troubled = teach(server, tmp_path / "troubled")
        assert server.calls == calls + 1
    assert troubled.lessons == healthy.lessons
    assert (troubled.usage.total, healthy.usage.cached) == (healthy.usage.total, 0)
    assert 0 < troubled.usage.cached < troubled.usage.total
