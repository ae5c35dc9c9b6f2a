"""Run a campaign in its run directory: open it or continue it, go round, and write the report.

The directory belongs to one config. One that was made from another is refused, with the keys that differ.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import secrets
import shutil
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tft import __version__
from tft.cluster import open_executor
from tft.config import CampaignConfig
from tft.config.campaign import InlineCluster
from tft.config.reading import parse_config, read_yaml, set_value
from tft.earlier import KEY, fill_students
from tft.errors import PrerequisiteError, Problem, TFTError, UserError
from tft.holding import hold
from tft.ledger import Ledger
from tft.library import Library
from tft.preparation import Prepared, preflight_request, prepare
from tft.report import build_report, render_html
from tft.report.files import write_run_files
from tft.steps import Steps, Watch
from tft.tracking import Trackers
from tft.tutor import preflight
from tft.tutor.values import roles_asked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tft.ports import Executor

_PACKAGES = ("torch", "transformers", "peft", "ray", "datasets", "numpy", "pydantic")


class Clock:
    """Tells a watch what passes, and the ledger how long the run has been at work: sessions that did anything new."""

    def __init__(self, watch: Watch, ledger: Ledger) -> None:
        self._watch = watch
        self._ledger = ledger
        self.earlier = float(ledger.fact("seconds") or 0.0)
        self._start = time.monotonic()
        self._worked = False

    def began(self, stage: str, student: str, cycle: int) -> None:
        """Pass it on."""
        self._watch.began(stage, student, cycle)

    def ended(self, stage: str, student: str, cycle: int, seconds: float, note: str) -> None:
        """Pass it on, and write the time down."""
        self._watch.ended(stage, student, cycle, seconds, note)
        if seconds:
            self._worked = True
            self.write()

    def write(self) -> None:
        """Write down the wall clock over all sessions of this run."""
        if self._worked:
            self._ledger.set_fact("seconds", self.earlier + time.monotonic() - self._start)


def choose_folder(path: Path, overrides: Sequence[str], out: Path | None, fork: bool) -> Path:
    """Say where a campaign runs.

    Args:
        path: its config file.
        overrides: ``a.b=c`` settings.
        out: the run directory; None means ``runs/<campaign>`` under the current folder.
        fork: go beside it: to the first folder that is free, or that was begun with this very config before, so that
            the same command continues a fork, too.

    Raises:
        UserError: if the config is wrong, or has too many forks.
        PrerequisiteError: if a model of a fork cannot be reached.
    """
    config = read_campaign(path, overrides)
    folder = (out or Path("runs") / config.campaign).resolve()
    if not fork:
        return folder
    identity = _as_kept(prepare(config, Library(path.resolve().parent), folder))
    for number in range(2, 1000):
        beside = folder.with_name(f"{folder.name}-{number}")
        if not beside.exists() or _begun_with(beside) == identity:
            return beside
    raise UserError(Problem("has too many forks", value=str(folder), remedy="name one with --out"))


def run_campaign(path: Path, overrides: Sequence[str], folder: Path, watch: Watch) -> None:
    """Run a campaign, or continue it.

    Args:
        path: its config file.
        overrides: ``a.b=c`` settings.
        folder: the run directory, as :func:`choose_folder` gives it.
        watch: is told what passes.

    Raises:
        TFTError: as its classes say; what was done is kept.
    """
    prepared = prepare(read_campaign(path, overrides), Library(path.resolve().parent), folder)
    _refuse_other_config(prepared)
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder):
        ledger = Ledger(folder)
        try:
            _write_setting(prepared, ledger, path.resolve().parent)
            clock = Clock(watch, ledger)
            asyncio.run(_go_round(prepared, ledger, clock))
            clock.write()
            report = build_report(ledger)
            write_run_files(folder, ledger, report, render_html(report))
        except BaseExceptionGroup as group:
            raise _first_own(group) from group
        finally:
            ledger.close()


def read_campaign(path: Path, overrides: Sequence[str] = ()) -> CampaignConfig:
    """Read a campaign's config, with what it takes over from the run it continues filled in.

    Raises:
        UserError: with every problem found, or if there is no such run.
    """
    values = read_yaml(path)
    for override in overrides:
        set_value(values, override)
    fill_students(values, path.resolve().parent)
    return parse_config(CampaignConfig, values, str(path))


async def _go_round(prepared: Prepared, ledger: Ledger, clock: Clock) -> None:
    config = prepared.config
    values = config.model_dump(mode="json")
    limits = {"cycles": values["tuition"]["cycles"], "budget": values["budget"]}
    finished = ledger.fact("finished") == limits
    # Where everything stands in the ledger, no cluster is needed to read it, and no tutor.
    executor = open_executor(config.model_copy(update={"cluster": InlineCluster()}) if finished else config,
                             prepared.tutor.engine)  # fmt: skip
    trackers = Trackers(config.tracking, config.campaign, prepared.folder, _name_run(ledger), values)
    # Torch comes with it, which takes seconds; the workers start meanwhile.
    from tft.campaign import Campaign

    try:
        if not finished:
            await _check_tutor(prepared, executor, clock)
        steps = Steps(ledger, executor, clock, trackers)
        campaign = Campaign(prepared, steps, clock.earlier)
        await campaign.run()
        for pupil in campaign.pupils:
            ledger.set_fact(f"outcome/{pupil.config.id}", {
                "stopped_because": pupil.stop,
                "promoted_digest": pupil.ref.digest,
                "checkpoint": _keep_final(prepared.folder, pupil.config.id, pupil.ref.checkpoint_path),
            })  # fmt: skip
        ledger.set_fact("limit", campaign.limit or None)
        waited = float(ledger.fact("orchestrate") or 0.0) + steps.waited
        ledger.set_fact("orchestrate", waited)
        ledger.set_fact("finished", limits)
    finally:
        trackers.close()
        await executor.close()


def _name_run(ledger: Ledger) -> str:
    """Name a run directory once, by chance: the same config in another directory is another run."""
    if ledger.fact("run") is None:
        ledger.set_fact("run", secrets.token_hex(4))
    return str(ledger.fact("run"))


async def _check_tutor(prepared: Prepared, executor: Executor, watch: Watch) -> None:
    """Check a tutor that somebody else may have set up; the embedded one is what it is.

    Raises:
        PrerequisiteError: with all that does not fit, and what to do about it.
    """
    asked = roles_asked(prepared.config.tuition, prepared.tutor_card, judged=prepared.judged)
    if prepared.tutor.engine.type == "transformers" or not asked:
        return
    watch.began("preflight", "", 0)
    found, seconds = await executor.run("tutor", preflight, preflight_request(prepared))
    if found.failures:
        raise PrerequisiteError(
            f"the tutor {prepared.tutor_card.tutor} is not what this campaign takes it for; nothing was taught:"
            + "".join(f"\n  {check.name}: {check.detail}. {check.cure}" for check in found.failures)
        )
    held = sum(check.outcome == "held" for check in found.checks)
    watch.ended("preflight", "", 0, seconds, f"{held} of {len(found.checks)} checks held, the others cannot be made")


def _keep_final(folder: Path, student: str, checkpoint: str | None) -> str | None:
    """Copy the promoted checkpoint to ``students/<id>/final``; None if nothing was promoted."""
    if checkpoint is None:
        return None
    final = folder / "students" / student / "final"
    aside = final.with_name(".final")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(checkpoint, aside)
    shutil.rmtree(final, ignore_errors=True)
    aside.rename(final)
    return str(final.relative_to(folder))


def _write_setting(prepared: Prepared, ledger: Ledger, beside: Path) -> None:
    """Write down what the campaign is, so that a report needs the ledger alone; and where its config lay."""
    config = prepared.config
    found = environment()
    inherited = prepared.inherited
    price = config.tutor.price or prepared.tutor_card.price
    ledger.set_fact("identity", prepared.identity())
    # For campaigns that continue this one.
    ledger.set_fact("held_out", prepared.held_out())
    ledger.set_fact("taught_before", sorted(inherited.taught))
    ledger.set_fact("setting", {
        "campaign": config.campaign,
        "seed": config.seed,
        "continue_from": {"campaign": inherited.campaign, "digest": inherited.digest} if inherited.digest else None,
        "before": list(inherited.before),
        "config": config.model_dump(mode="json"),
        "beside": str(beside),
        "tutor": {
            "id": prepared.tutor_card.tutor,
            "model": config.tutor.model or prepared.tutor_card.model,
            "engine": prepared.tutor.engine.type,
            "fingerprint": prepared.tutor.fingerprint,
            "license": prepared.tutor_card.license,
            "description": prepared.tutor_card.description,
            "price": None if price is None else price.model_dump(mode="json"),
        },
        "skills": [
            {"name": name, "title": card.title, "role": card.role, "needs": list(card.needs),
             "examined_whole": name in prepared.splits.examined_whole,
             "curriculum": inherited.curricula.get(name, prepared.curriculum.curriculum)}
            for name, card in prepared.skills.items()
        ],
        "suites": [
            {"name": suite.name, "caption": suite.told(card.caption), "missing": suite.missing,
             "items": len(suite.items), "watched": len(suite.watched), "unwatched": suite.unwatched,
             "left_out": suite.left_out, "digest": suite.digest, "origin": suite.origin,
             "license": card.data.license,
             "reference": card.data.reference}
            for card, suite in prepared.suites
        ],
        "material": [
            {"name": found.name, "verify": it.verify, "digest": found.digest, "license": it.license,
             "reference": it.reference}
            for it, found in zip(config.material, prepared.material, strict=True)
        ],
        "curriculum": {"name": prepared.curriculum.curriculum, "license": prepared.curriculum.license,
                       "digest": prepared.contents["curriculum"], "description": prepared.curriculum.description},
        "environment": found,
    })  # fmt: skip
    (prepared.folder / "config.yaml").write_text(
        yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    (prepared.folder / "environment.json").write_text(json.dumps(found, indent=1) + "\n")


def environment() -> dict[str, Any]:
    """Say on what a run was made: versions and hardware."""
    found: dict[str, Any] = {"tft": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return {**found, "platform": platform.platform(), "cpus": os.cpu_count(), "processor": _processor()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _begun_with(folder: Path) -> Any:
    """Give the identity of the campaign that a folder was begun with; None where none was."""
    if not (folder / "ledger.sqlite").is_file():
        return None
    ledger = Ledger(folder)
    try:
        return ledger.fact("identity")
    finally:
        ledger.close()


def _as_kept(prepared: Prepared) -> Any:
    """Give the identity of a campaign in the form in which a ledger gives it back."""
    return json.loads(json.dumps(prepared.identity()))


def _refuse_other_config(prepared: Prepared) -> None:
    before, now = _begun_with(prepared.folder), _as_kept(prepared)
    if before is None:
        return
    remedy = "run with --fork to begin anew beside it, with --out to go elsewhere, or take the change back"
    problems = []
    for key, old, new in _differences(before, now):
        message = f"differs from the config this run was begun with ({_show(old)})"
        if key == f"contents.{KEY}" and new is not None:
            message = f"what it continues has changed since this run was begun: {_show(old)} became {_show(new)}"
            new = prepared.config.continue_from
        shown = key.removeprefix("config.").replace(f"contents.{KEY}", KEY)
        problems.append(Problem(message, str(prepared.folder), shown, _show(new), remedy))
    if problems:
        raise UserError(*problems)


def _show(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (left, right) in enumerate(zip(old, new, strict=True)):
            yield from _differences(left, right, f"{path}.{place}")
    elif old != new:
        yield path, old, new


def _first_own(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Take one error out of those that stages raised side by side: one of ours if there is one."""
    leaves = list(_leaves(group))
    return next((error for error in leaves if isinstance(error, TFTError)), leaves[0])


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
