"""Finds tutors, curricula, exam suites, configs and models: beside the user's file, then among those shipped.

A model name is looked up in the library (``abacus/novice-a`` is a folder below ``tutors/``), then as a path, then
on the hub; ``path:`` and ``hub:`` force it, and ``name@revision`` says which version on the hub.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from tft.config.cards import CurriculumCard, TutorCard
from tft.config.reading import closest, parse_config, read_config, read_yaml
from tft.errors import PrerequisiteError, Problem, UserError
from tft.records import digest_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from tft.config.campaign import EndpointEngineConfig
    from tft.ports import ItemSource

Kind = Literal["tutors", "curricula", "evals", "configs"]
_BESIDE_WEIGHTS = ("*.json", "*.jinja", "*.model", "vocab.txt", "merges.txt")
"""Files of a model that are fetched with its weights, and decide with them what it answers."""
_FILES: dict[Kind, str] = {
    "tutors": "{name}/tutor.yaml",
    "curricula": "{name}/curriculum.yaml",
    "evals": "{name}.yaml",
    "configs": "{name}.yaml",
}


@dataclass(frozen=True)
class Library:
    """Where content is looked up.

    Args:
        beside: folder of the user's config file, searched first; None for the shipped content alone.
    """

    beside: Path | None = None

    def roots(self) -> list[Path]:
        """List the folders that are searched, first to last: the user's, its parent, and what is shipped."""
        mine = [self.beside, self.beside.parent] if self.beside is not None else []
        return list(dict.fromkeys([*mine, shipped()]))

    def names(self, kind: Kind) -> list[str]:
        """List what there is of a kind."""
        found: set[str] = set()
        for root in self.roots():
            for path in (root / kind).glob(_FILES[kind].format(name="*")):
                found.add(path.parent.name if "/" in _FILES[kind] else path.stem)
        return sorted(found)

    def find(self, kind: Kind, name: str, *, file: str | None = None, key: str | None = None) -> Path:
        """Find a card by its name, or by the path of its file or folder.

        Raises:
            UserError: with the names there are.
        """
        pattern = _FILES[kind]
        for root in self.roots():
            path = root / kind / pattern.format(name=name)
            if name and "/" not in name and is_file(path):
                return path
        own = (self.beside or Path()) / expand(name)
        for path in (own, own / Path(pattern).name):
            if path.suffix in (".yaml", ".yml") and is_file(path):
                return path
        what = {"tutors": "tutor", "curricula": "curriculum", "evals": "exam suite", "configs": "config"}[kind]
        remedy = closest(name, self.names(kind))
        raise UserError(Problem(f"there is no {what} of this name", file=file, key=key, value=name, remedy=remedy))

    def tutor(self, name: str) -> tuple[TutorCard, tuple[Path, ...]]:
        """Read a tutor card; with the folder it lies in, and those of the cards it extends."""
        return read_tutor(self.find("tutors", name))

    def curriculum(self, name: str) -> tuple[CurriculumCard, Path]:
        """Read a curriculum; with the folder it lies in."""
        path = self.find("curricula", name)
        return read_config(CurriculumCard, path), path.parent

    def path(self, name: str) -> Path:
        """Say which path a name stands for: one beside the config file, or else one from here."""
        beside = (self.beside or Path()) / expand(name)
        return beside if beside.exists() else expand(name)

    def model_names(self) -> list[str]:
        """List the models of the library: tutors whose cards name one, and the model folders beside the cards."""
        found = set(filter(self._names_a_model, self.names("tutors")))
        for root in self.roots():
            for path in (root / "tutors").glob("*/*/config.json"):
                found.add(f"{path.parent.parent.name}/{path.parent.name}")
        return sorted(found)

    def _names_a_model(self, tutor: str) -> bool:
        try:
            return read_tutor(self.find("tutors", tutor))[0].model is not None
        except UserError:
            return False

    def model(self, name: str, *, card_folders: Sequence[Path] = (), key: str | None = None) -> Model:
        """Say what a model name stands for.

        Args:
            name: a library name, a path or a hub name, optionally with ``path:`` or ``hub:`` in front.
            card_folders: folders of the card that names the model, searched first.
            key: where the name stands, for the error.

        Raises:
            UserError: if ``path:`` names a folder that holds no model.
        """
        if name.startswith("hub:"):
            return Model(name, "hub", name.removeprefix("hub:"))
        forced = name.startswith("path:")
        bare = name.removeprefix("path:")
        if not forced:
            for root in self.roots():
                folder = root / "tutors" / bare
                if "/" in bare and is_file(folder / "config.json"):
                    return Model(name, "library", str(folder.resolve()))
                card = root / "tutors" / bare / "tutor.yaml"
                if "/" not in bare and is_file(card):
                    tutor, folders = read_tutor(card)
                    if tutor.model is not None:
                        return self.model(tutor.model, card_folders=folders)
        for base in (*card_folders, self.beside, Path(), Path(os.environ.get("TFT_DATA", ""))):
            folder = (base or Path()) / expand(bare)
            if is_file(folder / "config.json"):
                return Model(name, "path", str(folder.resolve()))
        if forced or bare.startswith((".", "/", "~")):
            remedy = "a model folder holds config.json and *.safetensors"
            raise UserError(Problem("there is no model in this folder", key=key, value=name, remedy=remedy))
        return Model(name, "hub", bare)

    def find_tokenizer(self, engine: EndpointEngineConfig) -> EndpointEngineConfig:
        """Give an endpoint's engine with its tokenizer where that lies.

        Raises:
            UserError: as :meth:`model`.
        """
        if engine.tokenizer is None:
            return engine
        return engine.model_copy(update={"tokenizer": self.model(engine.tokenizer, key="tokenizer").address})


def read_tutor(path: Path) -> tuple[TutorCard, tuple[Path, ...]]:
    """Read a tutor card, and what it takes over from those it extends.

    Returns:
        The card, and the folders of all of them, its own first.

    Raises:
        UserError: as :func:`gather_tutor`, and with all that is wrong with the card.
    """
    values, folders = gather_tutor(path)
    return parse_config(TutorCard, values, str(path)), folders


def gather_tutor(path: Path) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """Lay a tutor card over those it extends, unchecked.

    A card that is extended is looked up beside the one that names it, and then among those shipped.

    Raises:
        UserError: if one of them is not there, or they extend each other in a circle.
    """
    values, saying = read_yaml(path), path
    folders, name = [path.parent.resolve()], values.get("extends")
    while isinstance(name, str):
        places = [root / name / "tutor.yaml" for root in (folders[-1].parent, shipped() / "tutors")]
        found = next((place for place in places if "/" not in name and is_file(place)), None)
        if found is None or found.parent.resolve() in folders:
            trouble = "there is no tutor of this name" if found is None else "tutors extend each other in a circle"
            raise UserError(Problem(trouble, file=str(saying), key="extends", value=name, remedy="name another"))
        theirs, saying = read_yaml(found), found
        folders.append(found.parent.resolve())
        name = theirs.get("extends")
        values = _merge(theirs, values)
    return values, tuple(folders)


def _merge(theirs: dict[str, Any], mine: dict[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another; where both have a mapping, do so within it, but for forms and engines."""
    merged = {**theirs, **mine}
    for key in theirs.keys() & mine.keys():
        if isinstance(theirs[key], dict) and isinstance(mine[key], dict) and key not in ("schema", "engine"):
            merged[key] = _merge(theirs[key], mine[key])
    return merged


@dataclass(frozen=True)
class Model:
    """What a model name became."""

    name: str
    """As the user wrote it."""
    kind: Literal["library", "path", "hub"]
    address: str
    """A folder, or a name on the hub."""


def shipped() -> Path:
    """Give the folder of the shipped content: inside the installed package, or the checkout around it."""
    package = Path(__file__).parent
    inside = package / "content"
    return inside if inside.is_dir() else package.parent


def is_file(path: Path) -> bool:
    """Say whether a path is a file; False too for what no path can be, such as a name of 300 letters."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def find_run(name: str, key: str, beside: Path | None = None) -> Path:
    """Find a run directory by its path, or by its name below ``runs/``.

    Args:
        name: as the user wrote it.
        key: where it stands, for the error.
        beside: a folder that paths are looked up in first.

    Raises:
        UserError: with the runs there are.
    """
    bare = expand(name)
    places: list[Path] = [root / bare for root in (beside, Path(), Path("runs")) if root is not None]
    for folder in places:
        if is_file(folder / "ledger.sqlite"):
            return folder
    known = closest(name, [path.parent.name for path in Path("runs").glob("*/ledger.sqlite")])
    raise UserError(Problem("there is no run of this name", key=key, value=name, remedy=f"below runs/, {known}"))


def is_there(path: Path) -> bool:
    """Say whether a path is a file or a folder; see :func:`is_file`."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def find_data(path: str, beside: Path, found: Callable[[Path], bool] = is_file) -> Path | None:
    """Find data: absolute, beside the file that names it, or below ``$TFT_DATA``; None if it is nowhere.

    Args:
        path: as it is written.
        beside: folder of the file that names it.
        found: what counts as there: a file, unless folders do too.
    """
    candidates = [expand(path), beside / path]
    if os.environ.get("TFT_DATA"):
        candidates.append(Path(os.environ["TFT_DATA"]) / path)
    absolute = [candidate for candidate in candidates if candidate.is_absolute() or candidate is not candidates[0]]
    return next((candidate.resolve() for candidate in absolute if found(candidate)), None)


def expand(path: str) -> Path:
    """Read ``~`` as the home folder; a home that nobody has stays as it is written."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


@cache
def load_items(path: Path) -> ItemSource:
    """Import the item source of a curriculum.

    Raises:
        UserError: if the file cannot be imported or lacks one of its three functions.
    """
    name = f"tft_items_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(Problem("is not a Python file", file=str(path)))
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's own code, whatever it raises
        raise UserError(Problem(f"cannot be imported: {error!r}", file=str(path))) from error
    missing = [function for function in ("draw", "classify", "fingerprint") if not hasattr(module, function)]
    if missing:
        remedy = "see curricula/arithmetic/items.py for what each must do"
        raise UserError(Problem(f"lacks {', '.join(missing)}", file=str(path), remedy=remedy))
    return cast("ItemSource", module)


def fingerprint_model(address: str) -> str:
    """Name the weights in a model folder: sha256 over its weight, config and tokenizer files.

    Raises:
        PrerequisiteError: if the folder holds no safetensors weights.
    """
    folder = Path(address)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise PrerequisiteError(f"{folder} holds no *.safetensors; save the model with save_pretrained")
    others = sorted(path for pattern in _BESIDE_WEIGHTS for path in folder.glob(pattern))
    hashed = {path.name: digest_file(path) for path in [*weights, *others]}
    # What the recipe wrote down beside the weights does not change an answer.
    hashed.pop("training.json", None)
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()[:24]


def fetch_weights(model: Model, key: str) -> tuple[str, str]:
    """Give the folder of a model, fetched from the hub where it is there, and its fingerprint.

    Raises:
        PrerequisiteError: if it cannot be fetched, or holds no safetensors weights.
    """
    if model.kind != "hub":
        return model.address, fingerprint_model(model.address)
    from huggingface_hub import snapshot_download

    name, revision = split_revision(model.address)
    try:
        folder = snapshot_download(name, revision=revision, allow_patterns=["*.safetensors", *_BESIDE_WEIGHTS])
    except Exception as error:  # the hub fails in many ways, and all of them mean: not there
        raise PrerequisiteError(
            f"{key}: {model.name} is not in the library, is no path, and could not be fetched from the hub "
            f"({type(error).__name__}). Check the name and the network, or give a folder with path:"
        ) from error
    return folder, fingerprint_model(folder)


def split_revision(address: str) -> tuple[str, str | None]:
    """Take a name on the hub and its revision apart; a folder has none.

    >>> split_revision("Qwen/Qwen3-0.6B@c1899de"), split_revision("Qwen/Qwen3-0.6B")
    (('Qwen/Qwen3-0.6B', 'c1899de'), ('Qwen/Qwen3-0.6B', None))
    """
    name, _, revision = address.partition("@")
    return (address, None) if not revision or Path(address).is_dir() else (name, revision)
