from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tft.errors import PrerequisiteError, UserError
from tft.library import Library, fetch_weights, find_data, fingerprint_model, load_items, read_tutor, shipped

if TYPE_CHECKING:
    from pathlib import Path

ITEMS = "def draw(skill, rng): ...\ndef classify(question): ...\ndef fingerprint(question): ...\n"


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def tutor(folder: Path, name: str, model: str = "weights") -> Path:
    return put(folder / "tutors" / name / "tutor.yaml", f"tutor: {name}\ndescription: d\nmodel: {model}\nroles: {{}}\n")


def test_the_user_s_own_card_comes_before_the_shipped_one(tmp_path: Path) -> None:
    mine = tutor(tmp_path, "abacus")
    assert Library(tmp_path).find("tutors", "abacus") == mine
    assert Library(tmp_path / "configs").find("tutors", "abacus") == mine
    assert Library().find("tutors", "abacus") == shipped() / "tutors" / "abacus" / "tutor.yaml"


def test_names_list_both(tmp_path: Path) -> None:
    tutor(tmp_path, "mine")
    put(tmp_path / "evals" / "own.yaml")
    assert {"abacus", "mine"} <= set(Library(tmp_path).names("tutors"))
    assert {"own", "gsm8k_calculator_steps"} <= set(Library(tmp_path).names("evals"))


def test_a_card_takes_over_what_it_extends_and_does_not_say(tmp_path: Path) -> None:
    path = put(tmp_path / "tutors" / "mine" / "tutor.yaml", "\n".join([
        "tutor: mine", "extends: qwen3", "description: d", "model: somebody/else",
        "roles: {author: {temperature: 0.1}, judge: {schema: {type: object, properties: {winner: {type: string}}, "
        "required: [winner]}}}",
    ]))  # fmt: skip
    card, folders = read_tutor(path)
    assert [folder.name for folder in folders] == ["mine", "qwen3", "instruct"]
    assert (card.tutor, card.model, card.license) == ("mine", "somebody/else", "Apache-2.0")
    assert card.roles["author"].temperature == 0.1
    assert card.roles["author"].prompt == "author.j2"
    assert card.roles["judge"].answer_schema == {
        "type": "object", "properties": {"winner": {"type": "string"}}, "required": ["winner"],
    }  # fmt: skip
    assert card.engine.type == "vllm"


@pytest.mark.parametrize(("extends", "told"), [("nobody", "no tutor of this name"), ("mine", "in a circle")])
def test_a_card_that_extends_nothing_or_itself_is_refused(extends: str, told: str, tmp_path: Path) -> None:
    path = put(tmp_path / "tutors" / "mine" / "tutor.yaml", f"tutor: mine\nextends: {extends}\ndescription: d\n")
    with pytest.raises(UserError, match=told):
        read_tutor(path)


@pytest.mark.parametrize("name", Library().names("tutors"))
def test_every_tutor_that_ships_can_be_read(name: str) -> None:
    card, folders = Library().tutor(name)
    # A teller of stories answers no questions about skills.
    assert name == "stories" or {"author", "demonstrator", "critic", "judge"} <= set(card.roles)
    for role in card.roles.values():
        assert any((folder / "prompts" / role.prompt).is_file() for folder in folders)


def test_a_card_is_found_by_its_path_too(tmp_path: Path) -> None:
    path = put(tmp_path / "elsewhere" / "curriculum.yaml")
    assert Library(tmp_path).find("curricula", "elsewhere") == path
    assert Library(tmp_path).find("curricula", "elsewhere/curriculum.yaml") == path
    assert Library(tmp_path).find("curricula", str(path)) == path


@pytest.mark.parametrize("name", ["abacuss", "", ".", "../abacus", "a" * 300, "a\0b", "~nobody-at-all/x"])
def test_what_is_not_there_is_answered_with_what_is(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        Library(tmp_path).find("tutors", name, file="f.yaml", key="tutor")
    (problem,) = raised.value.problems
    assert (problem.file, problem.key, problem.value) == ("f.yaml", "tutor", name)
    assert problem.remedy is not None and "abacus" in problem.remedy


def test_a_model_name_is_a_library_name_then_a_path_then_a_hub_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    library = Library(tmp_path)
    assert library.model("abacus/novice-a").kind == "library"
    put(tmp_path / "own" / "model" / "config.json", "{}")
    found = library.model("own/model")
    assert (found.kind, found.address) == ("path", str(tmp_path / "own" / "model"))
    assert library.model("path:own/model").address == found.address
    assert (library.model("no/such").kind, library.model("no/such").address) == ("hub", "no/such")
    put(tmp_path / "tutors" / "own" / "model" / "config.json", "{}")
    assert library.model("own/model").kind == "library"
    assert library.model("path:own/model").kind == "path"
    assert library.model("hub:own/model").kind == "hub"


def test_the_name_of_a_tutor_is_its_model(tmp_path: Path) -> None:
    card = tutor(tmp_path, "mine")
    put(card.parent / "weights" / "config.json", "{}")
    assert Library(tmp_path).model("mine").address == str(card.parent / "weights")
    (tmp_path / "tutors" / "broken").mkdir(parents=True)
    (tmp_path / "tutors" / "broken" / "tutor.yaml").write_text("tutor: [")
    known = Library(tmp_path).model_names()
    assert {"abacus", "abacus/novice-a"} <= set(known)
    assert not {"endpoint", "broken"} & set(known)


@pytest.mark.parametrize("name", ["path:nowhere", "./nowhere", "/nowhere", "~nobody-at-all/x"])
def test_a_path_without_a_model_is_an_error_and_never_a_hub_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model in this folder"):
        Library(tmp_path).model(name)


def test_a_long_name_is_only_unknown(tmp_path: Path) -> None:
    assert Library(tmp_path).model("a" * 300).kind == "hub"


def test_data_is_found_beside_the_suite_then_below_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TFT_DATA", raising=False)
    assert find_data("set/test.jsonl", tmp_path / "evals") is None
    far = put(tmp_path / "data" / "set" / "test.jsonl")
    monkeypatch.setenv("TFT_DATA", str(tmp_path / "data"))
    assert find_data("set/test.jsonl", tmp_path / "evals") == far
    near = put(tmp_path / "evals" / "set" / "test.jsonl")
    assert find_data("set/test.jsonl", tmp_path / "evals") == near
    assert find_data(str(far), tmp_path / "evals") == far


def test_data_is_not_looked_for_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TFT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "test.jsonl")
    assert find_data("test.jsonl", tmp_path / "evals") is None


def test_an_item_source_is_imported_and_checked(tmp_path: Path) -> None:
    assert load_items(put(tmp_path / "good.py", ITEMS)).fingerprint("x") is None  # type: ignore[func-returns-value]
    with pytest.raises(UserError, match="lacks classify, fingerprint"):
        load_items(put(tmp_path / "short.py", "def draw(skill, rng): ..."))
    with pytest.raises(UserError, match=r"cannot be imported: ZeroDivisionError"):
        load_items(put(tmp_path / "broken.py", "1 / 0"))
    with pytest.raises(UserError):
        load_items(tmp_path / "nowhere.py")


def test_a_fingerprint_names_weights_config_and_tokenizer_and_nothing_else(tmp_path: Path) -> None:
    put(tmp_path / "model.safetensors", "weights")
    put(tmp_path / "config.json", "{}")
    first = fingerprint_model(str(tmp_path))
    put(tmp_path / "README.md", "card")
    put(tmp_path / "training.json", "{}")
    assert fingerprint_model(str(tmp_path)) == first
    found = {first}
    tokenizers = ("tokenizer.json", "chat_template.jinja", "vocab.txt", "tokenizer.model")
    for name in ("model.safetensors", "config.json", *tokenizers):
        put(tmp_path / name, "other")
        found.add(fingerprint_model(str(tmp_path)))
    assert len(found) == 7


def test_a_folder_without_weights_has_no_fingerprint(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="save_pretrained"):
        fingerprint_model(str(tmp_path))


def test_a_model_that_is_nowhere_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PrerequisiteError, match=r"tutor\.model: no/such is not in the library"):
        fetch_weights(Library(tmp_path).model("no/such"), "tutor.model")
