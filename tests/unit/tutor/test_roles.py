from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tft.config.campaign import TransformersEngineConfig
from tft.config.cards import RoleCard, TutorCard
from tft.engines.encoding import row_seeds
from tft.engines.transformers import TransformersEngine
from tft.errors import BudgetError, PrerequisiteError, StageError, UserError
from tft.forms import Read
from tft.library import Library
from tft.ports import Engine, Generation, Sampling, Scores
from tft.records import Message, Usage
from tft.tutor import Allowance, AnswerCache, OpinionRequest, Pair, Tutor, TutorRef, give_opinion, prefer
from tft.tutor.forms import read_answer

PROMPTS = {
    "author.j2": "write {{ skill }}",
    "demonstrator.j2": "{{ question }}",
    "critic.j2": "check {{ question }}: {{ attempt }}\n",
    "judge.j2": "judge {{ question }}",
}
CARD = TutorCard.model_validate({
    "tutor": "parrot",
    "description": "repeats what it hears",
    "roles": {
        "author": {"prompt": "author.j2", "answer": r"(?P<question>\d+[-+*]\d+)", "temperature": 1.0, "max_tokens": 12},
        "demonstrator": {"prompt": "demonstrator.j2", "answer": "(?P<work>.*)", "max_tokens": 20},
        "critic": {"prompt": "critic.j2", "answer": r"(?P<critique>step \d+ [a-z]+): (?P<revision>[^#]*#\d+)"},
    },
})  # fmt: skip


class Parrot:
    """An engine that answers with what it was asked, one token a letter."""

    context: int | None = None

    def __init__(self, fingerprint: str = "parrot") -> None:
        self.fingerprint = fingerprint
        self.heard: list[tuple[list[str], Sampling]] = []

    def count(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        return [sum(len(message.content) for message in messages) for messages in prompts]

    def generate(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Generation]:
        self.heard.append(([prompt[-1].content for prompt in prompts], sampling))
        return [Generation(it[-1].content, len(it[-1].content), 3, True, -1.0) for it in prompts]

    def score(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[Scores]:  # noqa: ARG002
        return [Scores(tuple(range(len(text) + 1)), (-0.5,) * (len(text) + 1)) for text in completions]


class Endpoint(Parrot):
    """Answers row by row, from the last to the first, and breaks down after some."""

    def __init__(self, lasts: int, trouble: type[BaseException] = StageError) -> None:
        super().__init__()
        self._lasts = lasts
        self._trouble = trouble
        self.asked: list[tuple[str, int]] = []

    def answers(
        self, prompts: Sequence[Sequence[Message]], sampling: Sampling, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Generation]]:
        for place in reversed(range(len(prompts))):
            if len(self.asked) == self._lasts:
                raise self._trouble
            self.asked.append((prompts[place][-1].content, seeds[place]))
            yield place, self.generate([prompts[place]], sampling)[0]


Make = Callable[..., Tutor]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Give tutors that share a cache."""
    (tmp_path / "prompts").mkdir()
    for name, text in PROMPTS.items():
        (tmp_path / "prompts" / name).write_text(text)
    caches = []

    def made(engine: Engine, card: TutorCard = CARD) -> Tutor:
        caches.append(AnswerCache(tmp_path / "cache"))
        return Tutor(card, [tmp_path], engine, caches[-1])

    yield made
    for cache in caches:
        cache.close()


def with_sampling(**changes: Any) -> TutorCard:
    role = CARD.roles["demonstrator"].model_copy(update=changes)
    return CARD.model_copy(update={"roles": {**CARD.roles, "demonstrator": role}})


def answer(text: str, finished: bool = True) -> Generation:
    return Generation(text, 9, len(text), finished, -0.1)


@pytest.mark.parametrize("role", ["author", "demonstrator", "critic", "judge"])
def test_answers_of_abacus_are_taken_apart(role: str) -> None:
    card, _ = Library().tutor("abacus")
    right = {
        "author": ("27+58", {"question": "27+58"}),
        "demonstrator": ("7+8=15 2+5+1=8 #85", {"work": "7+8=15 2+5+1=8 #85"}),
        "critic": ("step 2 carry: 7+8=15 2+5+1=8 #85",
                   {"critique": "step 2 carry", "revision": "7+8=15 2+5+1=8 #85"}),
        "judge": ("first", {"winner": "first"}),
    }  # fmt: skip
    text, fields = right[role]
    form = card.roles[role]  # type: ignore[index]
    assert read_answer(form, answer(text)) == Read(fields)
    assert read_answer(form, answer(f" {text}\n")) == Read(fields)
    assert read_answer(form, answer(text, finished=False)).reason == "cut_off"


@pytest.mark.parametrize(("role", "text"), [
    ("author", ""), ("author", "27/58"), ("author", "27+58=85"), ("author", "write 27+58"), ("author", "27+"),
    ("demonstrator", "7+8=15 2+5+1=8"), ("demonstrator", "#"), ("demonstrator", "#85 or so"), ("demonstrator", "#8 #5"),
    ("critic", "7+8=15 #85"), ("critic", "step two carry: #85"), ("critic", "step 2 carry #85"),
    ("critic", "step 2 carry: 8"), ("judge", "both"), ("judge", "first second"), ("judge", "First"),
])  # fmt: skip
def test_an_answer_of_another_form_is_none(role: str, text: str) -> None:
    card, _ = Library().tutor("abacus")
    assert read_answer(card.roles[role], answer(text)).reason == "unreadable"  # type: ignore[index]


@pytest.mark.parametrize("card", [CARD.roles["demonstrator"], RoleCard(prompt="x.j2", schema={"type": "object"})])
def test_an_answer_that_there_was_no_room_for_is_told_from_one_that_was_cut_off(card: RoleCard) -> None:
    assert read_answer(card, Generation("", 0, 0, False, None)).reason == "too_long"
    assert read_answer(card, Generation("", 9, 20, False, None)).reason == "cut_off"


@given(st.text(), st.booleans())
def test_no_text_of_a_model_raises(text: str, finished: bool) -> None:
    for role in CARD.roles.values():
        read = read_answer(role, answer(text, finished))
        assert read.fields is None or finished
        assert (read.fields is None) == bool(read.reason)


def test_answers_come_in_the_order_of_the_requests(make: Make) -> None:
    parrot = Parrot()
    answers = make(parrot).ask("author", [{"skill": "1+2"}, {"skill": "x"}, {"skill": "3*4"}], seed=5)
    assert answers.texts == ["write 1+2", "write x", "write 3*4"]
    assert answers.fields == [None, None, None]
    assert parrot.heard == [(answers.texts, Sampling(12, 1.0, 5))]
    assert answers.usage == Usage(prompt=9 + 7 + 9, completion=9, requests=3)


def test_a_form_that_fits_is_read(make: Make) -> None:
    answers = make(Parrot()).ask("demonstrator", [{"question": "27+58"}])
    assert answers.fields == [{"work": "27+58"}]


def test_nothing_asked_costs_nothing(make: Make) -> None:
    parrot = Parrot()
    answers = make(parrot).ask("author", [], allowance=Allowance(0))
    assert (answers.fields, answers.texts, answers.usage) == ([], [], Usage())
    assert parrot.heard == []


def test_the_same_requests_are_answered_from_the_cache_and_counted_all_the_same(make: Make) -> None:
    first, second = Parrot(), Parrot()
    asked = [{"question": "27+58"}, {"question": "1+1"}]
    paid, cached = make(first).ask("demonstrator", asked), make(second).ask("demonstrator", asked)
    assert (len(first.heard), len(second.heard)) == (1, 0)
    assert (cached.texts, cached.fields, cached.key) == (paid.texts, paid.fields, paid.key)
    assert (paid.usage.total, cached.usage.total) == (14, 14)
    assert (paid.usage.cached, cached.usage.cached) == (0, 14)


@pytest.mark.parametrize("trouble", [StageError, PrerequisiteError, KeyboardInterrupt])
def test_what_was_answered_of_a_batch_that_failed_is_not_asked_again(make: Make, trouble: type[BaseException]) -> None:
    texts, card = ["27+58", "1+1", "1+1", "3*4"], with_sampling(temperature=1.0)
    broken, mended = Endpoint(2, trouble), Endpoint(4)
    with pytest.raises(trouble):
        make(broken, card).ask("demonstrator", [{"question": text} for text in texts], seed=5)
    answers = make(mended, card).ask("demonstrator", [{"question": text} for text in texts], seed=5)
    assert answers.texts == texts
    seeds = row_seeds(Sampling(20, 1.0, 5), None, 4)
    assert broken.asked + mended.asked == list(zip(texts, seeds, strict=True))[::-1]
    # As many tokens as letters, and three of each answer.
    assert answers.usage == Usage(prompt=5 + 3 * 3, completion=4 * 3, cached=2 * (3 + 3), requests=4)


@pytest.mark.parametrize("engine", [Parrot(), Endpoint(9)])
def test_answers_that_cannot_be_kept_are_used_all_the_same(make: Make, engine: Engine) -> None:
    tutor = make(engine)
    tutor._cache._base.execute("PRAGMA query_only = ON")
    texts = ["27+58", "1+1", "3*4"]
    with pytest.warns(UserWarning, match="cannot be written") as warned:
        assert tutor.ask("demonstrator", [{"question": text} for text in texts]).texts == texts
    # Of the rows one is tried, and then the batch.
    assert len(warned) == 1 + isinstance(engine, Endpoint)


@pytest.mark.parametrize("changed", [
    {"requests": [{"question": "1+1"}, {"question": "27+58"}]},
    {"requests": [{"question": "27+58"}]},
    {"seed": 1},
    {"engine": Parrot("other weights")},
    {"card": with_sampling(max_tokens=21)},
    {"card": with_sampling(temperature=0.5)},
])  # fmt: skip
def test_anything_that_may_change_an_answer_is_asked_anew(make: Make, changed: dict[str, Any]) -> None:
    asked = [{"question": "27+58"}, {"question": "1+1"}]
    before = make(Parrot()).ask("demonstrator", asked)
    engine = changed.get("engine", Parrot())
    after = make(engine, changed.get("card", CARD)).ask(
        "demonstrator", changed.get("requests", asked), changed.get("seed", 0)
    )
    assert len(engine.heard) == 1
    assert after.key != before.key


def test_a_call_that_may_cost_more_than_is_left_is_not_made(make: Make) -> None:
    parrot = Parrot()
    asked = [{"question": "27+58"}] * 3
    # Five letters and twenty tokens, three times.
    with pytest.raises(BudgetError, match="3 requests may use 75 tokens, 74 are left"):
        make(parrot).ask("demonstrator", asked, allowance=Allowance(74))
    assert parrot.heard == []
    assert len(make(parrot).ask("demonstrator", asked, allowance=Allowance(75)).texts) == 3


@pytest.mark.parametrize(("tokens", "reach"), [(0, 0), (24, 0), (25, 1), (74, 2), (75, 3), (999, 3), (None, 3)])
def test_a_tutor_says_how_far_an_allowance_reaches(tokens: int | None, reach: int, make: Make) -> None:
    assert make(Parrot()).reach("demonstrator", [{"question": "27+58"}] * 3, Allowance(tokens)) == reach


def test_a_cached_answer_does_not_stretch_a_budget(make: Make) -> None:
    asked = [{"question": "27+58"}] * 3
    make(Parrot()).ask("demonstrator", asked, allowance=Allowance(75))
    with pytest.raises(BudgetError):
        make(Parrot()).ask("demonstrator", asked, allowance=Allowance(74))


@pytest.mark.usefixtures("one_thread")
def test_no_call_uses_more_than_it_was_allowed(make: Make, novice: Path) -> None:
    tutor = make(
        TransformersEngine.open(str(novice), "novice", TransformersEngineConfig()), with_sampling(max_tokens=1)
    )
    asked = [{"question": "27+58"}] * 3
    allowance = next(tokens for tokens in range(1000) if _is_allowed(tutor, asked, tokens))
    assert tutor.ask("demonstrator", asked, allowance=Allowance(allowance)).usage.total <= allowance


def _is_allowed(tutor: Tutor, asked: list[dict[str, str]], allowance: int) -> bool:
    try:
        tutor.ask("demonstrator", asked, allowance=Allowance(allowance))
    except BudgetError:
        return False
    return True


@pytest.mark.parametrize("attempt", [
    "{{ 7*7 }}", "{% for i in range(9) %}x{% endfor %}", "{# gone #}", "{{ question.__class__.__mro__ }}",
    "{% include '/etc/passwd' %}", "{{ '{{' }}", "<b>&amp;</b>", "'); DROP",
])  # fmt: skip
def test_what_a_student_writes_is_never_run(make: Make, attempt: str) -> None:
    assert make(Parrot()).render("critic", {"question": "7+5", "attempt": attempt}) == f"check 7+5: {attempt}"


@given(st.text(), st.text())
def test_a_request_is_the_template_with_the_values_in_it(question: str, attempt: str) -> None:
    card, folders = Library().tutor("abacus")
    tutor = Tutor(card, folders, Parrot(), None)  # type: ignore[arg-type]
    assert tutor.render("critic", {"question": question, "attempt": attempt}) == f"check {question}: {attempt}"


def test_a_template_cannot_reach_out_of_its_sandbox(make: Make, tmp_path: Path) -> None:
    escape = "{{ question.__class__.__mro__[1].__subclasses__() }}"
    (tmp_path / "prompts" / "demonstrator.j2").write_text(escape)
    with pytest.raises(Exception, match="unsafe"):
        make(Parrot()).render("demonstrator", {"question": "7+5"})


def test_a_value_that_is_missing_is_an_error_and_not_a_blank(make: Make) -> None:
    with pytest.raises(Exception, match="'attempt' is undefined"):
        make(Parrot()).render("critic", {"question": "7+5"})


def test_a_role_it_does_not_take_is_answered_with_those_it_does(make: Make) -> None:
    with pytest.raises(UserError, match="does not take this role") as raised:
        make(Parrot()).render("judge", {"question": "7+5"})
    assert "critic" in str(raised.value)


def test_a_prompt_that_is_not_there_is_a_prerequisite(make: Make, tmp_path: Path) -> None:
    (tmp_path / "prompts" / "critic.j2").unlink()
    with pytest.raises(PrerequisiteError, match=r"critic\.j2"):
        make(Parrot())


def test_the_version_of_a_prompt_changes_with_all_that_makes_it(make: Make, tmp_path: Path) -> None:
    versions = {
        make(Parrot()).version("demonstrator"),
        make(Parrot(), with_sampling(temperature=0.5)).version("demonstrator"),
        make(Parrot(), with_sampling(answer="(?P<work>.+)")).version("demonstrator"),
    }
    (tmp_path / "prompts" / "demonstrator.j2").write_text("please: {{ question }}")
    versions.add(make(Parrot()).version("demonstrator"))
    assert len(versions) == 4
    assert all(re.fullmatch("[0-9a-f]{12}", version) for version in versions)
    assert make(Parrot()).version("critic") == make(Parrot("other")).version("critic")


def test_scores_are_counted_as_scored_tokens(make: Make) -> None:
    logprobs, usage = make(Parrot()).score(["7+5", "1+1"], ["#12", "#2"])
    assert [len(row) for row in logprobs] == [4, 3]
    assert usage == Usage(scored=7, requests=2)


JSON = TutorCard.model_validate({
    "tutor": "clerk",
    "description": "answers in JSON",
    "roles": {
        "demonstrator": {
            "prompt": "demonstrator.j2", "system": "judge.j2", "repairs": 2, "max_tokens": 20,
            "schema": {"type": "object", "properties": {"work": {"type": "string"}, "sure": {"type": "number"}},
                       "required": ["work"], "additionalProperties": False},
        },
    },
})  # fmt: skip


@pytest.mark.parametrize(("text", "fields"), [
    ('{"work": "#85"}', {"work": "#85"}),
    ('{"work": "#85", "sure": 0.5}', {"work": "#85", "sure": "0.5"}),
    ('```json\n{"work": "#85"}\n```', {"work": "#85"}),
    ('<think>{"work": "#1"} no</think>\n{"work": "#85"}', {"work": "#85"}),
    ('{"work": "7+8=15\n\t#85"}', {"work": "7+8=15\n\t#85"}),
])  # fmt: skip
def test_json_is_taken_apart(text: str, fields: dict[str, str]) -> None:
    assert read_answer(JSON.roles["demonstrator"], answer(text)).fields == fields


@pytest.mark.parametrize(("text", "reason", "detail"), [
    ("#85", "not_json", "not JSON"), ('{"work": "#85"', "not_json", "not JSON"), ("", "not_json", "not JSON"),
    ("[]", "off_schema", "object"), ("{}", "off_schema", "'work' is a required property"),
    ('{"work": 85}', "off_schema", r"$.work: 85 is not of type 'string'"),
    ('{"work": "#85", "joy": 1}', "off_schema", "joy"), ("NaN", "off_schema", "object"),
    ('{"work": "#8\x155"}', "unreadable", "control"), ('{"work": "#8\\u00005"}', "unreadable", "control"),
])  # fmt: skip
def test_json_of_another_form_says_what_is_wrong_with_it(text: str, reason: str, detail: str) -> None:
    read = read_answer(JSON.roles["demonstrator"], answer(text))
    assert (read.fields, read.reason) == (None, reason)
    assert detail in read.detail


@given(st.text())
def test_no_json_of_a_model_raises(text: str) -> None:
    read = read_answer(JSON.roles["demonstrator"], answer(text))
    assert (read.fields is None) == bool(read.reason)


class Learner(Parrot):
    """Answers in the right form from the second or the third time on."""

    def __init__(self, from_turn: int) -> None:
        super().__init__()
        self.turns: list[list[tuple[Message, ...]]] = []
        self._from = from_turn

    def generate(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Generation]:
        self.turns.append([tuple(prompt) for prompt in prompts])
        self.heard.append(([prompt[-1].content for prompt in prompts], sampling))
        text = '{"work": "#85"}' if len(self.turns) >= self._from else '{"work": 85}'
        return [Generation(text if place else '{"work": "#1"}', 5, 3, True, None) for place in range(len(prompts))]


def test_an_answer_without_its_form_is_asked_for_again_with_what_was_wrong(make: Make) -> None:
    learner = Learner(from_turn=2)
    answers = make(learner, JSON).ask("demonstrator", [{"question": "1+0"}, {"question": "27+58"}], seed=5)
    assert answers.reasons == ["", ""]
    assert len(learner.turns) == 2
    (again,) = learner.turns[1]
    assert [message.role for message in again] == ["system", "user", "assistant", "user"]
    assert again[2].content == '{"work": 85}'
    assert "is not of type 'string'" in again[3].content
    assert answers.usage == Usage(prompt=15, completion=9, requests=3)


def test_it_is_asked_for_as_often_as_the_card_says_and_then_refused(make: Make) -> None:
    class Never(Learner):
        def generate(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Generation]:
            super().generate(prompts, sampling)
            return [Generation("no", 5, 3, True, None) for _ in prompts]

    never = Never(from_turn=99)
    answers = make(never, JSON).ask("demonstrator", [{"question": "27+58"}])
    assert (answers.fields, answers.reasons) == ([None], ["not_json"])
    assert len(never.turns) == 3


def test_what_was_mended_is_mended_from_the_cache(make: Make) -> None:
    asked = [{"question": "27+58"}, {"question": "1+1"}]
    first = make(Learner(from_turn=2), JSON).ask("demonstrator", asked)
    silent = Learner(from_turn=2)
    again = make(silent, JSON).ask("demonstrator", asked)
    assert (again.fields, again.usage.total) == (first.fields, first.usage.total)
    assert again.usage.cached == again.usage.total
    assert silent.turns == []


def test_nothing_is_mended_beyond_the_allowance(make: Make) -> None:
    learner = Learner(from_turn=2)
    first = learner.count([[Message("system", "judge 27+58"), Message("user", "27+58")]])[0] + 20
    answers = make(learner, JSON).ask(
        "demonstrator", [{"question": "1+1"}, {"question": "27+58"}], allowance=Allowance(2 * first)
    )
    assert answers.reasons == ["", "off_schema"]
    assert len(learner.turns) == 1


def test_what_would_not_fit_into_the_context_is_not_mended(make: Make) -> None:
    class Rambler(Learner):
        """Says in place of an object what it was asked, until it is told not to."""

        context = 200

        def generate(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Generation]:
            answers = super().generate(prompts, sampling)
            assert max(self.count(prompts)) + sampling.max_tokens <= 200
            return answers if len(self.turns) > 1 else [Generation(it[1].content, 5, 3, True, None) for it in prompts]

    rambler = Rambler(from_turn=2)
    # Asked again, a question stands there three times, with what was wrong.
    asked = [{"question": text} for text in ("1+1", "9" * 60, "2+2")]
    answers = make(rambler, JSON).ask("demonstrator", asked)
    assert answers.reasons == ["", "off_schema", ""]
    assert answers.texts[1] == "9" * 60
    assert [len(turn) for turn in rambler.turns] == [3, 2]
    assert answers.usage.requests == 5


@pytest.mark.parametrize(("role", "message"), [
    ({"prompt": "x.j2"}, "one form"),
    ({"prompt": "x.j2", "answer": "(?P<work>.*)", "schema": {"type": "object"}}, "one form"),
    ({"prompt": "x.j2", "schema": {"type": "array"}}, "named parts"),
    ({"prompt": "x.j2", "schema": {"type": "nonsense"}}, "not a JSON schema"),
])  # fmt: skip
def test_a_role_without_one_sound_form_is_refused(role: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RoleCard.model_validate(role)


def test_a_form_must_hold_what_the_role_is_for() -> None:
    with pytest.raises(ValueError, match="the answer of a critic must have: critique, revision"):
        TutorCard.model_validate({
            "tutor": "mute", "description": "says nothing",
            "roles": {"critic": {"prompt": "critic.j2", "answer": "(?P<critique>.*)"}},
        })  # fmt: skip


def test_what_does_not_fit_into_the_context_is_not_asked(make: Make) -> None:
    parrot = Parrot()
    parrot.context = 25
    answers = make(parrot).ask("demonstrator", [{"question": "1+1"}, {"question": "9" * 20}, {"question": "2+2"}])
    assert answers.reasons == ["", "too_long", ""]
    assert answers.fields == [{"work": "1+1"}, None, {"work": "2+2"}]
    assert parrot.heard == [(["1+1", "2+2"], Sampling(20))]
    nothing = make(parrot).ask("demonstrator", [{"question": "9" * 20}])
    assert (nothing.reasons, nothing.usage) == (["too_long"], Usage())


class Arbiter(Parrot):
    """Prefers what has the better mark, what stands first, or says nothing that can be used."""

    def generate(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Generation]:
        self.heard.append(([prompt[-1].content for prompt in prompts], sampling))
        return [Generation(self._word(prompt[-1].content), 9, 1, True, None) for prompt in prompts]

    def _word(self, text: str) -> str:
        question, first, second = text.split("|")
        if question == "fair":
            return "first" if first > second else "second"
        return {"biased": "first", "even": "tie"}.get(question, "both are nice")


@pytest.fixture
def arbiter(make: Make, tmp_path: Path) -> Tutor:
    (tmp_path / "prompts" / "judge.j2").write_text("{{ question }}|{{ first }}|{{ second }}")
    card = TutorCard.model_validate({
        "tutor": "arbiter", "description": "judges",
        "roles": {"judge": {"prompt": "judge.j2", "answer": "(?P<winner>first|second|tie)"}},
    })  # fmt: skip
    return make(Arbiter(), card)


def test_a_judge_is_asked_in_both_orders(arbiter: Tutor) -> None:
    pairs = [Pair(question, "a", "b") for question in ("fair", "biased", "even", "mute")] + [Pair("fair", "b", "a")]
    found, usage = prefer(arbiter, pairs)
    assert [it.winner for it in found] == ["second", "tie", "tie", "tie", "first"]
    assert [it.said for it in found[:4]] == [("second", "second"), ("first", "second"), ("tie", "tie"), (None, None)]
    assert [it.consistent for it in found] == [True, False, True, False, True]
    assert usage.requests == 2 * len(pairs)


@pytest.mark.parametrize(("requests", "asked", "earlier", "later"), [(None, 4, 1, 2), (7, 3, 1, 1), (1, 0, 0, 0)])
def test_a_second_opinion_goes_as_far_as_can_be_paid_for(
    requests: int | None, asked: int, earlier: int, later: int, arbiter: Tutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tft.tutor.opinions.open_tutor", lambda _: arbiter)
    ref = TutorRef("card", "model", "arbiter", TransformersEngineConfig(), "cache")
    pairs = {
        "add": (Pair("fair", "a", "b"), Pair("fair", "b", "a")),
        "sub": (Pair("biased", "a", "b"), Pair("fair", "a", "b")),
    }
    found = give_opinion(OpinionRequest(ref, pairs, {"add": None, "sub": "be kind"}, Allowance(requests=requests)))
    assert (found.asked, found.earlier, found.later, found.usage.requests) == (asked, earlier, later, 2 * asked)
