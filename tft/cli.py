"""The door: what a user types. Data goes to stdout, progress and errors to stderr.

Commands import what they need when they run, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tft import __version__
from tft.door import Door
from tft.errors import PrerequisiteError, UserError

if TYPE_CHECKING:
    from tft.doctor import Finding
    from tft.validation import Validation

_SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one value: tuition.cycles=2. Repeatable.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_OUT = click.option("--out", type=click.Path(path_type=Path), help="Run directory; runs/<campaign> unless given.")
_EPILOG = "Exit codes: 0 done, 1 the campaign failed, 2 the input is wrong, 3 the machine cannot, 130 interrupted."


@click.group(cls=Door, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(__version__, prog_name="tft")
def main() -> None:
    """Tutorial Fine-Tuning: one strong tutor model teaches a few small students.

    Begin with `tft run quickstart`, or with `tft init my-campaign`.
    """


@main.command()
@click.argument("config")
@_SET
@_OUT
@click.option("--fork", is_flag=True, help="Begin anew beside a run directory that another config made.")
@click.option("--json", "as_json", is_flag=True, help="Progress as JSON lines on stderr, the report on stdout.")
@click.pass_context
def run(
    context: click.Context, config: str, overrides: tuple[str, ...], out: Path | None, fork: bool, as_json: bool
) -> None:
    """Run, or continue, a campaign.

    CONFIG is a file, or the name of a config that `tft ls` lists. The same command continues what was interrupted.
    """
    from tft.progress import make_watch
    from tft.validation import validate

    path = _find_config(config)
    checked = validate(path, overrides, out)
    if checked.problems:
        if as_json:
            _print_json(checked.as_record())
        raise UserError(*checked.problems)
    for warning in checked.warnings:
        click.echo(f"warning: {warning}", err=True)
    door = context.find_root().command
    assert isinstance(door, Door)
    with make_watch(as_json, sys.stderr) as watch:
        from tft.running import choose_folder, run_campaign  # torch and Ray take seconds, and the watch is on already

        folder = choose_folder(path, overrides, out, fork)
        door.logs, door.resumable = folder / "logs", True
        run_campaign(path, overrides, folder, watch)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    _print_report(report, folder, as_json=as_json)


@main.command("validate")
@click.argument("config")
@_SET
@_OUT
@_JSON
@click.pass_context
def check(context: click.Context, config: str, overrides: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Say everything that is wrong with a campaign, what its names became, and what it will need."""
    from tft.validation import Validation, validate

    try:
        checked = validate(_find_config(config), overrides, out)
    except UserError as error:
        checked = Validation(error.problems, {}, {})
    if as_json:
        _print_json(checked.as_record())
    else:
        _print_validation(checked)
    context.exit(UserError.exit_code if checked.problems else 0)


@main.command()
@click.option("--deep", is_flag=True, help="Start a Ray as well, and let it answer.")
@_JSON
@click.pass_context
def doctor(context: click.Context, deep: bool, as_json: bool) -> None:
    """Say whether this machine can run campaigns, and what would mend it."""
    from tft.doctor import examine_machine

    findings = []
    for finding in examine_machine(deep):
        findings.append(finding)
        if not as_json:
            _print_finding(finding)
    if as_json:
        _print_json([asdict(finding) for finding in findings])
    context.exit(PrerequisiteError.exit_code if any(it.state == "fail" for it in findings) else 0)


@main.command()
@click.argument("name")
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Folder to write it into.")
def init(name: str, folder: Path | None) -> None:
    """Write a commented campaign to start from; nothing is overwritten."""
    from tft.starter import write_campaign

    path = write_campaign(name, folder)
    click.echo(str(path))
    click.echo(f"next: tft validate {path} · tft run {path}", err=True)


@main.command()
@click.argument("run_directory", metavar="RUN")
@_JSON
@click.option("--html", "as_html", is_flag=True, help="Lay report.html out again, and print where it lies.")
def report(run_directory: str, as_json: bool, as_html: bool) -> None:
    """Show the report card of a run, finished or not.

    RUN is a run directory, or the name of one below runs/.
    """
    from tft.ledger import Ledger
    from tft.report import build_report, render_html

    folder = _find_run(run_directory)
    ledger = Ledger(folder)
    try:
        found = build_report(ledger)
    finally:
        ledger.close()
    if as_html:
        page = folder / "report.html"
        page.write_text(render_html(found), encoding="utf-8")
        click.echo(str(page))
        return
    _print_report(found, folder, as_json=as_json)


@main.command("compare")
@click.argument("run_directories", metavar="RUN…", nargs=-1, required=True)
@_JSON
@click.option("--html", "page", type=click.Path(path_type=Path), help="Write it to a page, too.")
def compare_runs(run_directories: tuple[str, ...], as_json: bool, page: Path | None) -> None:
    """Compare finished runs with the first; the students of a single one with each other.

    RUN is a run directory, or the name of one below runs/.
    """
    from rich.console import Console

    from tft.comparison import compare
    from tft.report import render_comparison
    from tft.report.compared import print_comparison

    found = compare([_find_run(name) for name in run_directories])
    if page is not None:
        try:
            page.write_text(render_comparison(found), encoding="utf-8")
        except OSError as error:
            raise PrerequisiteError(f"{page} cannot be written: {error}. Name another with --html") from error
    if as_json:
        _print_json(found)
    else:
        print_comparison(found, Console())


@main.command()
@click.argument("run_directory", metavar="RUN")
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--student", required=True, help="Whose answers the log holds.")
@click.option("--draft", type=click.Path(path_type=Path), help="Write the campaign that teaches again what drifted.")
@_JSON
def watch(run_directory: str, log: Path, student: str, draft: Path | None, as_json: bool) -> None:
    """Hold the log of a deployed student against its final exam, skill by skill.

    RUN is a run directory, or the name of one below runs/. LOG has a row an answer: prompt, answer and, where somebody
    said it, a thumb; as JSON lines, CSV or Parquet.
    """
    from tft.drafting import draft_campaign
    from tft.report.watched import print_watch
    from tft.watching import read_log
    from tft.watching import watch as hold

    folder = _find_run(run_directory)
    found = hold(folder, read_log(log), student)
    if as_json:
        _print_json(found)
    else:
        from rich.console import Console

        print_watch(found, Console())
    if draft is not None:
        click.echo(f"drafted: {draft_campaign(found, folder, draft)}", err=True)


@main.command()
@click.argument("run_directory", metavar="RUN")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Where; left out, one that is free.")
def view(run_directory: str, port: int) -> None:
    """Serve a live report card of a run on this machine, until Ctrl-C.

    RUN is a run directory, or the name of one below runs/.
    """
    from tft.viewing import Viewer

    viewer = Viewer(_find_run(run_directory), port)
    click.echo(viewer.address)
    viewer.serve()


@main.command()
@click.argument("model")
@click.option("--curriculum", help="Whose skills are examined; arithmetic, unless suites are named.")
@click.option("--suite", "suites", multiple=True, metavar="NAME", help="A whole exam: a name or a file. Repeatable.")
@click.option("--items", type=click.IntRange(1), help="Items a skill or suite; 256 a skill and a whole suite else.")
@click.option("--max-tokens", default=64, show_default=True, type=click.IntRange(1), help="Longest answer, in tokens.")
@_JSON
def examine(
    model: str, curriculum: str | None, suites: tuple[str, ...], items: int | None, max_tokens: int, as_json: bool
) -> None:
    """Let a model sit an exam, without a campaign.

    MODEL is a model of the library, a folder, a name on the hub, or students/<id>/final of a run. An exam is the skills
    of a curriculum, or suites: names that `tft ls` lists, or files of questions and answers (.csv, .jsonl, .parquet).
    """
    from tft.exams import find_suite
    from tft.library import Library

    library = Library(Path.cwd())
    part = curriculum or (None if suites else "arithmetic")
    if part is not None:
        library.find("curricula", part, key="--curriculum")
    for suite in suites:
        find_suite(library, suite, key="--suite")
    from tft.examination import examine as sit_exam  # torch takes seconds; names are checked before

    found = sit_exam(library, model, part, suites, items, max_tokens)
    if as_json:
        _print_json(found)
        return
    from rich.console import Console

    from tft.report.sheet import print_sheet

    print_sheet(found, Console())


@main.command()
@click.argument("run")
@click.argument("student")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write; it may not exist yet.")
@click.option("--adapter", is_flag=True, help="Write the adapter alone, for PEFT, and not a merged model.")
@click.option("--push", metavar="REPO", help="Send it to this repository of the hub, too; a new one is private.")
def export(run: str, student: str, out: Path, adapter: bool, push: str | None) -> None:
    """Write a taught student as a model that needs nothing of this package.

    RUN is a run directory, or its name below runs/; STUDENT the id of one of its students.
    """
    from tft.library import Library

    folder = _find_run(run)
    from huggingface_hub import HfApi

    from tft.exporting import check_hub, export_student, push_student  # torch takes seconds

    hub = HfApi()
    if push is not None:
        check_hub(hub, push)
    click.echo(str(export_student(Library(Path.cwd()), folder, student, out, adapter=adapter)))
    if push is not None:
        click.echo(push_student(hub, out, push))


@main.command("serve")
@click.argument("tutor")
@_SET
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen there; 0.0.0.0 lets other machines in.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(1, 65535), help="Port to listen at.")
@click.option("--address", help="A Ray cluster to join; one is started on this machine unless given.")
@click.option("--print", "only_print", is_flag=True, help="Print how vLLM alone, or Kubernetes, would serve it.")
def serve_tutor(
    tutor: str, overrides: tuple[str, ...], host: str, port: int, address: str | None, only_print: bool
) -> None:
    """Serve a tutor to campaigns: OpenAI-compatible, on this machine and with a key unless told otherwise.

    TUTOR is a tutor that `tft ls` lists. The key is that of the environment variable TFT_SERVE_KEY, or a new one.
    --set engine=vllm, model=…, name=… and serve.replicas=… say what is served, and how.
    """
    from tft.config.cards import SERVE_KEY, ServeUse
    from tft.config.reading import parse_config, set_value

    values: dict[str, Any] = {"use": tutor}
    for override in overrides:
        set_value(values, override)
    from tft.preparation import find_served

    use = parse_config(ServeUse, values, "tft serve")
    served = find_served(use)
    if only_print:
        from tft.cluster.manifest import ray_service, vllm_command

        click.echo("# vLLM alone; it guards /v1 with the key, and no other route")
        click.echo(vllm_command(served.tutor.model_path, served.name, served.tutor.engine, host, port))
        click.echo("\n# Kubernetes, with Ray's operator: the image has this package and its extras, the secret the key")
        click.echo(ray_service(use, served), nl=False)
        return
    # Out of the environment, which every process that is started inherits.
    key = os.environ.pop(SERVE_KEY, None)
    if not key:
        key = secrets.token_urlsafe(24)
        click.echo(f"export {SERVE_KEY}={key}")
    click.echo("starting …", err=True)
    from tft.cluster import open_serving

    over = threading.Event()
    with open_serving(served, key, host, port, address) as url:
        # Now, because Ray takes them for itself when it starts.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: over.set())
        click.echo(f"url: {url}")
        over.wait()
        click.echo("finishing what was begun; once more ends it at once …", err=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)


@main.command("ls")
@_JSON
def list_content(as_json: bool) -> None:
    """List the tutors, curricula, exam suites and configs there are."""
    from tft.catalogue import list_library
    from tft.library import Library

    listed = list_library(Library(Path.cwd()))
    if as_json:
        _print_json(listed)
        return
    for kind, entries in listed.items():
        click.echo(click.style(kind, bold=True))
        for name, description in entries.items():
            click.echo(f"  {name:<26} {description}")


@main.command()
@click.option("--markdown", is_flag=True, help="A page for people instead, with the settings of all cards as well.")
def schema(markdown: bool) -> None:
    """Print the JSON schema of a campaign's config, for editors that complete it."""
    if markdown:
        from tft.config.reference import write_reference

        click.echo(write_reference(), nl=False)
        return
    from tft.config import CampaignConfig

    _print_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **CampaignConfig.model_json_schema()})


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(__version__)


def _find_config(config: str) -> Path:
    from tft.library import Library, is_file

    return Path(config) if is_file(Path(config)) else Library(Path.cwd()).find("configs", config, key="CONFIG")


def _find_run(name: str) -> Path:
    from tft.library import find_run

    return find_run(name, "RUN")


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def _print_report(found: dict[str, Any], folder: Path, *, as_json: bool) -> None:
    if as_json:
        _print_json(found)
        return
    from rich.console import Console

    from tft.report import print_summary

    print_summary(found, Console())
    if (folder / "report.html").is_file():
        click.echo(f"report card: {folder / 'report.html'}")


def _print_validation(checked: Validation) -> None:
    for problem in checked.problems:
        click.echo(str(problem))
    if checked.problems:
        click.echo(f"{len(checked.problems)} problem{'s' if len(checked.problems) > 1 else ''}; nothing was run")
        return
    for warning in checked.warnings:
        click.echo(f"{click.style('warning', fg='yellow')}  {warning}")
    from tft.validation.telling import tell

    for about, said in tell(checked.resolved, checked.estimate):
        click.echo(f"{click.style(f'{about:<12}', bold=True)}{said}")
    click.echo("nothing was run; --json says more")


def _print_finding(finding: Finding) -> None:
    color = {"ok": "green", "warn": "yellow", "fail": "red"}[finding.state]
    click.echo(f"{click.style(f'{finding.state:<4}', fg=color)}  {finding.what:<24} {finding.found}")
    if finding.remedy and finding.state != "ok":
        click.echo(f"{'':<31}{finding.remedy}")
