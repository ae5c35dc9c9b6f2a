"""What a campaign needs before it begins: every name resolved, every weight named, every exam item drawn.

The identity of a run is made here: its config and the content of everything the config names. Two runs with the
same identity, on the same machine, end with the same report.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tft import plugins
from tft.config import CampaignConfig, CurriculumCard, SuiteCard, TutorCard
from tft.config.cards import ServeConfig, ServeUse, SkillCard, choose_skills
from tft.config.training import DistillationConfig
from tft.errors import Problem, UserError
from tft.exams import Splits, Suite, make_splits, open_suite, read_suite, refuse_names, set_apart
from tft.exams.judges import appoint, refuse_judges
from tft.fitting import read_build, refuse_shards, refuse_student, refuse_switches, refuse_tutor
from tft.graders import is_judged
from tft.inheritance import Inheritance, find_earlier, go_on, take_over
from tft.library import Library, fetch_weights, load_items, read_tutor
from tft.material import HeldOut, Material, Setting, read_material, refuse_unread, refuse_verdicts
from tft.placement import gpus_wanted
from tft.ports import ItemSource
from tft.records import digest, make_seed
from tft.student import StudentRef
from tft.student.saved import REWARD_KEY, read_reward_model
from tft.student.template import with_switches
from tft.tutor import PreflightRequest, TutorRef
from tft.tutor.values import longest_values, roles_asked, usual_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tft.config.campaign import TutorUse


@dataclass(frozen=True, slots=True)
class Prepared:
    """A campaign that may begin."""

    config: CampaignConfig
    folder: Path
    """The run directory."""
    tutor_card: TutorCard
    tutor: TutorRef
    students: tuple[StudentRef, ...]
    curriculum: CurriculumCard
    skills: dict[str, SkillCard]
    items_path: str
    source: ItemSource
    splits: Splits
    suites: tuple[tuple[SuiteCard, Suite], ...]
    material: tuple[Material, ...]
    reward: StudentRef | None
    """Whose reward head gives rewards in practice; None where the grader does."""
    inherited: Inheritance
    """What it takes over from the campaign that it continues."""
    contents: dict[str, str]
    """Digests of what the config names, by key of the config."""

    def held_out(self) -> tuple[str, ...]:
        """List the fingerprints that may not be taught: of all exams, and of those of the runs it continues.

        The facts of a table that is examined whole are left out: no longer problem can be worked without them, and a
        student that may not rehearse them forgets them.
        """
        whole = {item.fingerprint for _, suite in self.suites for item in (*suite.items, *suite.watched)}
        own = self.splits.fingerprints() | (whole - self.splits.table())
        return tuple(sorted(own | self.inherited.held_out))

    @property
    def judged(self) -> bool:
        """Whether pairs are told apart by the tutor's judge."""
        return is_judged(self.config.tuition, self.curriculum.grader)

    def seed(self, purpose: str, student: str, cycle: int, *more: str) -> int:
        """Give a seed for one purpose of one student in one cycle, below 2³¹: another one than in the run before."""
        before = (self.inherited.digest,) if self.inherited.digest else ()
        return make_seed([self.config.seed, purpose, student, cycle, *more, *before])

    def identity(self) -> dict[str, Any]:
        """Give all that decides the result."""
        return {"config": self.config.identity(), "contents": self.contents}


def prepare(config: CampaignConfig, library: Library, folder: Path) -> Prepared:
    """Resolve everything a config names.

    Args:
        config: the campaign.
        library: where its names are looked up.
        folder: the run directory.

    Raises:
        UserError: if a name leads nowhere.
        PrerequisiteError: if a model cannot be reached.
    """
    cache = Path(config.cache).expanduser() if config.cache else folder.parent / "cache"
    tutor_card, tutor = find_tutor(config.tutor, library, cache)
    tutor_folders = read_tutor(Path(tutor.card_path))[1]
    curriculum, curriculum_folder = library.curriculum(config.curriculum)
    own = choose_skills(config.skills, curriculum)
    earlier = find_earlier(config, library.beside)
    inherited = take_over(config, library, earlier, own)
    # What is kept is not taught, so that nothing could wait for it.
    own = {name: it.model_copy(update={"needs": tuple(need for need in it.needs if need not in inherited.skills)})
           for name, it in own.items()}  # fmt: skip
    items_path = curriculum_folder / curriculum.items
    source = load_items(items_path.resolve())
    splits = _join(make_splits(own, source, config.exams, config.seed, inherited.taught), inherited)
    cards = [open_suite(library, name) for name in config.exams.whole]
    names = [(f"exams.whole.{place}", name, card.exam)
             for place, (name, (card, _)) in enumerate(zip(config.exams.whole, cards, strict=True))]  # fmt: skip
    if problems := refuse_names(names, own | inherited.skills):
        raise UserError(*problems)
    expected = [name for name, skill in curriculum.skills.items() if skill.role != "stretch"]
    read = [(card, appoint(read_suite(card, place, source, expected), library, config.exams.examiner))
            for card, place in cards]  # fmt: skip
    untaught = ((card, _without_taught(suite, splits, inherited)) for card, suite in read)
    suites = tuple((card, set_apart(suite, config.exams.watched, config.seed)) for card, suite in untaught)
    named = tuple(
        StudentRef(
            it.id,
            *fetch_weights(library.model(it.model), f"students.{place}.model"),
            it.adapter,
            chat_template=it.chat_template,
        )
        for place, it in enumerate(config.students)
    )
    _refuse_misfits(config, tutor, named)
    fresh = tuple(with_switches(ref, it.template) for it, ref in zip(config.students, named, strict=True))
    refuse_judges(
        [suite for _, suite in suites],
        {"the tutor": tutor.fingerprint, **{f"student {ref.id}": ref.base for ref in fresh}},
    )
    students = go_on(fresh, earlier)
    judge = config.training.objectives.reward_model
    reward = None if judge is None else read_reward_model(library.path(judge.model), REWARD_KEY)
    contents = {
        "tutor.model": tutor.fingerprint,
        "tutor.use": _digest_folder(*(folder / name for folder in tutor_folders for name in ("prompts", "tutor.yaml"))),
        "curriculum": _digest_folder(items_path, curriculum_folder / "curriculum.yaml"),
        **{f"students.{ref.id}.model": ref.base for ref in students},
        **({} if reward is None else {REWARD_KEY: str(reward.digest)}),
        **{f"exams.whole.{suite.name}": suite.digest or suite.missing or "hub" for _, suite in suites},
        **{f"exams.whole.{it.name}.judge": it.judge.fingerprint for _, it in suites if it.judge is not None},
        **({"continue_from": inherited.digest} if inherited.digest else {}),
        **{f"skills.{name}": _digest_folder(Path(origin.items_path), Path(origin.card_path))
           for name, origin in inherited.origins.items()},
        **{key: f"{told}, sha256 {held}" for key, (told, held) in _brought(config, curriculum, suites).items()},
    }  # fmt: skip
    prepared = Prepared(
        config, folder, tutor_card, tutor, students, curriculum, own | inherited.skills, str(items_path.resolve()),
        source, splits, suites, (), reward, inherited, contents,
    )  # fmt: skip
    return _with_material(prepared, library.beside or Path())


def _brought(
    config: CampaignConfig, curriculum: CurriculumCard, suites: Iterable[tuple[SuiteCard, Suite]]
) -> dict[str, tuple[str, str]]:
    """Say which parts are somebody else's, by key, and what their modules hold."""
    named: list[tuple[str, plugins.Group, str]] = [
        ("tuition.planner", "tft.planners", config.tuition.planner),
        ("curriculum.grader", "tft.graders", curriculum.grader.type),
        *((f"exams.whole.{suite.name}.grader", "tft.graders", suite.grader.type) for _, suite in suites),
        *((f"training.objectives.{kind}", "tft.objectives", it.type) for kind, it in config.training.objectives),
    ]  # fmt: skip
    found = {key: plugins.origin(group, name) for key, group, name in named}
    return {key: it for key, it in found.items() if it is not None}


def _join(splits: Splits, inherited: Inheritance) -> Splits:
    """Examine what is to be kept beside the new; not in the probe, because it is not taught."""
    items = {split: (*held, *inherited.items.get(split, ())) for split, held in splits.items.items()}
    return Splits(items, (*splits.examined_whole, *inherited.examined_whole))


def _without_taught(suite: Suite, splits: Splits, inherited: Inheritance) -> Suite:
    """Leave out of a whole exam what was taught in the runs before, but for the facts of tables."""
    return suite.without(inherited.taught - splits.table())


def _with_material(prepared: Prepared, beside: Path) -> Prepared:
    """Read the material, now that it is known what is held out."""
    config, fingerprints = prepared.config, prepared.held_out()
    if not config.material:
        return prepared
    items = [item for held in prepared.splits.items.values() for item in held]
    items += [item for _, suite in prepared.suites for item in (*suite.items, *suite.watched)]
    held = HeldOut(items, fingerprints)
    setting = Setting(prepared.source, prepared.skills, held)
    found = [read_material(it, f"material.{place}", beside, setting) for place, it in enumerate(config.material)]
    material = tuple(it for it in found if it is not None)
    for place, it in enumerate(material):
        refuse_unread(config.students, it, f"material.{place}")
    refuse_verdicts(config.training.objectives.preference.type, material)
    contents = {**prepared.contents, **{f"material.{place}": it.digest for place, it in enumerate(material)}}
    return replace(prepared, material=material, contents=contents)


def _refuse_misfits(config: CampaignConfig, tutor: TutorRef, students: Sequence[StudentRef]) -> None:
    """Refuse what a model cannot do because of how it is built, now that all of them are here.

    Raises:
        UserError: with all that was found.
    """
    problems = refuse_tutor(read_build(tutor.model_path), tutor.engine, config.tuition.methods)
    for place, (it, ref) in enumerate(zip(config.students, students, strict=True)):
        build = read_build(ref.base_path)
        problems += refuse_student(build, it.adapter, f"students.{place}", it.model)
        problems += refuse_shards(build, config.training.parallel, f"students.{place}", it.model)
        problems += refuse_switches(it, ref.base_path, f"students.{place}")
    if problems:
        raise UserError(*problems)


def preflight_request(prepared: Prepared) -> PreflightRequest:
    """Say what a tutor will be asked in this campaign, so that it can be checked before."""
    items = prepared.splits.items["probe"]
    taught = next(name for name, card in prepared.skills.items() if card.role == "taught")
    marker = prepared.curriculum.grader.marker
    question = next(item.question for item in items if item.skill == taught)
    longest = max((item.question for item in items), key=len)
    needed = roles_asked(prepared.config.tuition, prepared.tutor_card, judged=prepared.judged)
    usual = usual_values(taught, prepared.skills[taught], question, marker)
    most = longest_values(prepared.skills, longest, prepared.tutor_card.longest_attempt, marker)
    config = prepared.config
    feedback = config.training.objectives.feedback if config.tuition.methods == "feedback" else None
    return PreflightRequest(
        tutor=prepared.tutor,
        values={role: usual[role] for role in needed},
        longest={role: most[role] for role in needed},
        feedback=feedback if isinstance(feedback, DistillationConfig) else None,
    )


def find_tutor(use: TutorUse, library: Library, cache: Path, *, fetch: bool = True) -> tuple[TutorCard, TutorRef]:
    """Resolve a tutor: its card, its model and its engine.

    Args:
        use: what a config says of it.
        library: where names are looked up.
        cache: folder of the answer cache.
        fetch: fetch its model here if it is on the hub, to name its weights; otherwise whoever opens it does.

    Raises:
        UserError: if a name leads nowhere.
        PrerequisiteError: if its model cannot be reached.
    """
    card, folders = library.tutor(use.use)
    engine = use.engine or card.engine
    named = use.model or card.model
    if named is None:
        raise UserError(
            Problem(f"the tutor {card.tutor} brings no model of its own", key="tutor.model", remedy="name one")
        )
    weights = None
    if engine.type == "endpoint":
        # Nobody here can see its weights; the name stands for them.
        address = fingerprint = engine.model or named
        engine = library.find_tokenizer(engine)
        if use.model is None:
            own = library.model(named, card_folders=folders)
            weights = own.address if own.kind != "hub" else None
    else:
        model = library.model(named, card_folders=folders)
        if model.kind == "hub" and not fetch:
            address = fingerprint = model.address
        else:
            address, fingerprint = fetch_weights(model, "tutor.model")
        weights = address if engine.type == "vllm" and Path(address).is_dir() else None
    return card, TutorRef(
        card_path=str(folders[0] / "tutor.yaml"),
        model_path=address,
        fingerprint=fingerprint,
        engine=engine,
        cache_path=str(cache.resolve()),
        weights_path=weights,
    )


@dataclass(frozen=True, slots=True)
class Served:
    """A tutor that can be served."""

    name: str
    """What requests call the model."""
    tutor: TutorRef
    config: ServeConfig

    @property
    def gpus(self) -> float:
        """GPUs a copy, where there are any."""
        return float(gpus_wanted(self.tutor.engine)) if self.config.gpus is None else self.config.gpus


def find_served(use: ServeUse) -> Served:
    """Resolve what is to be served.

    Raises:
        UserError: if a name leads nowhere, or the tutor is behind an endpoint already.
        PrerequisiteError: if its model cannot be reached.
    """
    card, tutor = find_tutor(use, Library(Path.cwd()), Path.cwd(), fetch=False)
    if tutor.engine.type == "endpoint":
        remedy = "name transformers or vllm: --set engine=vllm"
        raise UserError(Problem("is served already, by somebody else", key="engine", value="endpoint", remedy=remedy))
    return Served(use.name or use.model or card.tutor, tutor, use.serve or card.serve)


def _digest_folder(*paths: Path) -> str:
    files = sorted(file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
    return digest([[file.name, hashlib.sha256(file.read_bytes()).hexdigest()] for file in files])
