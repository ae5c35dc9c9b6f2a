"""The pages of a campaign in a real browser that has no network: what it shows, to whom, and whether it is true."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Run
from tft.comparison import compare
from tft.report import render_comparison
from tft.report.words import count, percent, points

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
def pages(inline_run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    compared = tmp_path_factory.mktemp("pages") / "compared.html"
    compared.write_text(render_comparison(compare([inline_run.folder])), encoding="utf-8")
    return {"report": inline_run.folder / "report.html", "comparison": compared}


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
    page.add_style_tag(content=WITHOUT_SHADOWS)
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate("axe.run()")
    assert not [(it["impact"], it["id"], it["nodes"][0]["html"]) for it in found["violations"]]
    assert len(found["passes"]) > 20
    context.close()


def test_every_skill_says_what_report_json_says(page: Any, inline_run: Run) -> None:
    for place, student in enumerate(inline_run.report["students"], start=1):
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


def test_costs_and_curation_say_what_report_json_says(page: Any, inline_run: Run) -> None:
    report = inline_run.report
    assert count(report["tutor"]["tokens"]["total"]) in page.inner_text(".facts")
    rows = dict(row[:2] for row in page.eval_on_selector_all("#curation .scroll:first-of-type tbody tr", CELLS))
    assert rows["offered"] == count(report["curation"]["offered"])
    assert rows["kept"] == count(report["curation"]["kept"])


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


def test_it_can_be_printed(page: Any) -> None:
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF") and printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") > 1


def plain(text: str) -> str:
    return text.replace("\xa0", " ")
