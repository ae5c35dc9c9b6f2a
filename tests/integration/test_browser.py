"""The pages of a campaign in a real browser that has no network: what it shows, to whom, and whether it is true."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.integration.conftest import Run, run
from tft.comparison import compare
from tft.holding import hold
from tft.ledger import Ledger
from tft.report import render_comparison
from tft.report.html import STAGE_TITLES
from tft.report.words import count, decimal, duration, percent, points
from tft.viewing import Viewer

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytest.importorskip("axe_playwright_python", reason="axe is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
DESKTOP, PHONE = (1280, 900), (390, 844)
# Over a gradient axe gives no verdict on contrast; it is the shadow at the edge of a table that can be scrolled.
WITHOUT_SHADOWS = ".scroll { background: none !important }"
CELLS = """rows => rows.map(row => [...row.cells].map(cell => cell.innerText.replace(/[\\s\\u00a0]+/g, " ").trim()))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a campaign with all that a page can show: a whole exam with groups and wordings, and one that is not sat."""
    folder = tmp_path_factory.mktemp("shown")
    pairs = ((11, 12), (13, 25), (41, 17), (52, 36))
    questions = [f"{a}+{b},{a + b},{'small' if a + b < 40 else 'large'},{min(a, b)} and {max(a, b)}"
                 for one, other in pairs for a, b in ((one, other), (other, one))]  # fmt: skip
    (folder / "sums.csv").write_text("\n".join(["question,answer,group,same_as", *questions]) + "\n")
    (folder / "absent.yaml").write_text(
        "exam: absent\ncaption: Questions that are nowhere.\ndata: {path: nowhere.csv, license: CC0-1.0}\n"
    )
    whole = f"exams.whole=[{folder}/sums.csv,{folder}/absent.yaml]"
    return run(folder / "run", folder / "cache", "cluster=inline", whole)


@pytest.fixture(scope="module")
def pages(campaign: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    compared = tmp_path_factory.mktemp("pages") / "compared.html"
    compared.write_text(render_comparison(compare([campaign.folder])), encoding="utf-8")
    return {"report": campaign.folder / "report.html", "comparison": compared}


@pytest.fixture
def page(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    context = browser.new_context(offline=True, viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    page = context.new_page()
    page.goto(pages["report"].as_uri())
    yield page
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("name", ["report", "comparison"])
def test_everybody_can_read_it(
    browser: Any, pages: dict[str, Path], name: str, size: tuple[int, int], scheme: str
) -> None:
    context = browser.new_context(
        offline=True, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, bypass_csp=True
    )
    page, troubles, asked = context.new_page(), [], []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(pages[name].as_uri())
    assert not troubles
    assert asked == [pages[name].as_uri()]
    # A table may be scrolled, the page may not.
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    check_access(page)
    context.close()


def check_access(page: Any) -> None:
    """Let axe look at all of a page, what is folded away included."""
    page.evaluate("document.querySelectorAll('details').forEach(it => { it.open = true })")
    page.add_style_tag(content=WITHOUT_SHADOWS)
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate("axe.run()")
    assert not [(it["impact"], it["id"], it["nodes"][0]["html"]) for it in found["violations"]]
    assert len(found["passes"]) > 20


def test_every_skill_says_what_report_json_says(page: Any, campaign: Run) -> None:
    for place, student in enumerate(campaign.report["students"], start=1):
        rows = page.eval_on_selector_all(f"#student-{place} table.comparison tbody tr:not(.group)", CELLS)
        shown = {row[0].split()[0]: row for row in rows}
        assert shown.keys() == student["skills"].keys()
        for name, skill in student["skills"].items():
            _, before, after, change, _, n, lessons, tokens = shown[name]
            for said, measured in ((before, skill["before"]), (after, skill["after"])):
                low, high = (f"{100 * measured[end]:.1f}" for end in ("low", "high"))
                assert said == f"{plain(percent(measured['score']))} {low} to {high}"
            assert plain(points(skill["change"]["value"])) in change
            assert n == count(skill["after"]["n"])
            assert lessons.split()[0] == count(skill["lessons"])
            assert tokens == count(skill["trained_tokens"])


def test_whole_exams_say_what_report_json_says(page: Any, campaign: Run) -> None:
    told = 0
    for suite in campaign.report["students"][0]["whole"]:
        shown = iter(page.eval_on_selector_all(f'[aria-label="{suite}"] tbody tr:not(.group)', CELLS))
        for student in campaign.report["students"]:
            sat = student["whole"][suite]
            if not sat["sat"]:
                assert f"{student['id']}: not sat. {sat['reason']}" in page.inner_text("#exams")
                continue
            for name, found in (("all items", sat), *sat["groups"].items()):
                said, before, after, change, _, n = next(shown)
                assert said == name
                for cell, measured in ((before, found["before"]), (after, found["after"])):
                    assert cell.startswith(plain(percent(measured["score"])))
                assert plain(points(found["change"]["value"])) in change
                different = found["after"].get("questions")
                assert n == count(found["after"]["n"]) + (f" {count(different)} different" if different else "")
                told += 1
        assert next(shown, None) is None
    assert told


def test_what_a_student_knows_of_itself_says_what_report_json_says(page: Any, campaign: Run) -> None:
    for place, student in enumerate(campaign.report["students"], start=1):
        facts = {name.strip(): plain(" ".join(value.split())) for name, value in page.eval_on_selector_all(
            f"#student-{place} .facts.small div", "rows => rows.map(row => [...row.children].map(it => it.innerText))"
        )}  # fmt: skip
        found, corrected = student["calibration"], student["self_correction"]
        assert facts["calibration error"].startswith(
            f"{decimal(found['ece'])}, beside {plain(percent(found['base_rate']))} right"
        )
        for role, part in found["by_role"].items():
            sure, right = (plain(percent(part[it], 0)) for it in ("confidence", "base_rate"))
            assert f"{role} {sure}, {right}" in facts["calibration error"]
        half = found["abstention"][-1]
        assert facts["when it answers only the half it is surest of"] == f"{plain(percent(half['right']))} right"
        if corrected["n"] is None:
            assert facts["self-correction, tutor away"] == "not measured"
        else:
            first, revised = (plain(percent(corrected[it])) for it in ("first", "revised"))
            assert facts["self-correction, tutor away"] == f"{first} → {revised} of {count(corrected['n'])}"
        for name, kind in (("demonstrations", "demonstration"), ("critiques", "critique"), ("rehearsals", "replay")):
            assert facts[name] == count(student["lessons"][kind])


def test_costs_and_time_say_what_report_json_says(page: Any, campaign: Run) -> None:
    report = campaign.report
    tokens = report["tutor"]["tokens"]
    assert count(tokens["total"]) in page.inner_text(".facts")
    for label, shown in (
        ("Tutor tokens", {"read": count(tokens["prompt"]), "written": count(tokens["completion"]),
                          "scored": count(tokens["scored"]), "total": count(tokens["total"]),
                          "of which from the cache": count(tokens["of_which_cached"])}),
        ("Busy seconds", {**{STAGE_TITLES[name]: duration(it) for name, it in report["time"].items()},
                          "wall clock": duration(report["seconds"])}),
    ):  # fmt: skip
        rows = page.eval_on_selector_all(f'#costs [aria-label="{label}"] tr', CELLS)
        assert {row[0]: row[1] for row in rows} == {name: plain(it) for name, it in shown.items()}


def test_curation_says_what_report_json_says(page: Any, campaign: Run) -> None:
    found = campaign.report["curation"]
    rows = dict(row[:2] for row in page.eval_on_selector_all("#curation .scroll:first-of-type tbody tr", CELLS))
    assert rows["offered"] == count(found["offered"])
    assert rows["kept"] == count(found["kept"])
    for reason, amount in found["rejected"].items():
        assert any(name.startswith(f"rejected: {reason}") and it == count(amount) for name, it in rows.items())


def test_the_first_screen_says_what_to_do_next(page: Any, campaign: Run) -> None:
    shown = [plain(it) for it in page.locator(".next li").all_inner_texts()]
    assert shown == [plain(it.replace("`", "")) for it in campaign.report["next"]]
    assert 0 < len(shown) <= 5


def test_the_keyboard_reaches_everything(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#students")
    stops = page.evaluate("document.querySelectorAll('a, summary, [tabindex=\"0\"]').length")
    reached = set()
    for _ in range(stops):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName"))
    assert {"A", "DIV", "SUMMARY"} <= reached


@pytest.fixture
def viewer(campaign: Run, tmp_path: Path) -> Iterator[Viewer]:
    folder = tmp_path / "run"
    shutil.copytree(campaign.folder, folder, ignore=shutil.ignore_patterns("students"))
    viewer = Viewer(folder)
    thread = Thread(target=viewer.serve)
    thread.start()
    yield viewer
    viewer.close()
    thread.join()


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_everybody_can_read_the_page_of_a_campaign_that_runs(
    browser: Any, viewer: Viewer, tmp_path: Path, size: tuple[int, int]
) -> None:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, bypass_csp=True)
    page = context.new_page()
    with hold(tmp_path / "run"):
        page.goto(viewer.address)
        assert "still running" in page.inner_text(".eyebrow")
        check_access(page)
    context.close()


def test_the_live_page_changes_when_something_happens_and_leaves_the_reader_alone(
    browser: Any, viewer: Viewer, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    page, troubles = context.new_page(), []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    with hold(tmp_path / "run"):
        page.goto(viewer.address)
        page.click("#student-1-beliefs summary")
        page.click("#student-1-cycle-1 summary")
        page.focus("#student-1-beliefs summary")
        top = page.evaluate("scrollY")
        article = page.query_selector("#student-1")
        with page.expect_response("**/state", timeout=20_000):
            pass
        page.wait_for_timeout(500)
        assert article.evaluate("it => it.isConnected")  # nothing has happened
        ledger = Ledger(tmp_path / "run")
        ledger.set_fact("limit", "budget.hours: 3 hours are over")
        ledger.close()
        page.wait_for_selector("text=budget.hours: 3 hours are over", timeout=20_000)
        assert not article.evaluate("it => it.isConnected")
        assert page.evaluate("document.querySelector('#student-1-beliefs').open")
        assert not page.evaluate("document.querySelector('#student-1-cycle-1').open")
        assert page.evaluate("document.activeElement.parentElement.id") == "student-1-beliefs"
        assert page.evaluate("scrollY") == top > 0
    page.wait_for_selector(".eyebrow:not(:has-text('still running'))", timeout=20_000)
    assert not troubles
    context.close()


def test_it_can_be_printed(page: Any) -> None:
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF") and printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") > 1


def plain(text: str) -> str:
    return text.replace("\xa0", " ")
