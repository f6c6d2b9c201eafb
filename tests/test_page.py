"""The report's page, opened from the disk in Chromium: cells, tables, widths, colours, silence."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from stages import plot
from tests.browser import listen, start_browser
from tests.fake_results import write_tree

pytestmark = pytest.mark.slow

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with start_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def report(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report's file; made after the browser, as without one it is not needed."""
    root = tmp_path_factory.mktemp("report")
    write_tree(root, classes=("cat", "dog", "ship"), n_test=90)
    with contextlib.chdir(root):
        plot.main()
    return root / "reports/report.html"


@pytest.fixture(scope="module")
def page(browser: Browser, report: Path) -> Iterator[Page]:
    with browser.new_page() as page:
        page.goto(report.as_uri())
        yield page


def test_a_cell_shows_its_images(page: Page) -> None:
    figure = page.locator("figure.matrix").filter(has=page.locator("td.wrong button")).first
    cell = figure.locator("td.wrong button").first
    cell.click()
    expect(cell).to_have_attribute("aria-pressed", "true")
    tiles, label = cell.get_attribute("data-tiles"), cell.get_attribute("aria-label")
    assert tiles
    assert label
    shown = figure.locator(".images span")
    expect(shown).to_have_count(len(tiles.split()))
    expect(shown.first).to_have_css("background-image", re.compile('^url\\("data:'))
    expect(figure.locator(".images p")).to_have_text(re.compile(f"^{re.escape(label)}"))


def read_column(table: Locator, number: int) -> list[str]:
    """Return a column's cells, from the top down; the first column is 1."""
    return table.locator(f"tbody tr > :nth-child({number})").all_inner_texts()


def test_a_table_sorts_by_the_column_that_is_pressed_and_keeps_its_averages(page: Page) -> None:
    table = page.locator("table.sortable").first
    heading = table.locator("thead th").nth(2)
    for direction in ("descending", "ascending"):
        heading.get_by_role("button").click()
        expect(heading).to_have_attribute("aria-sort", direction)
        found = [float(text) for text in read_column(table, 3)[:3]]
        assert found == sorted(found, reverse=direction == "descending")
        assert read_column(table, 1)[3:] == ["macro average"]


def test_words_sort_as_words(page: Page) -> None:
    table = page.locator("table.sortable").first
    table.get_by_role("button").first.click()
    assert read_column(table, 1)[:3] == ["ship", "dog", "cat"]


@pytest.mark.parametrize("width", [360, 768, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_screen_is_too_narrow(page: Page, width: int, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate(OVERFLOW) == 0


def test_everything_that_is_pressed_can_be_reached_by_keyboard(page: Page) -> None:
    buttons = page.locator("button")
    assert buttons.count() > 10
    assert buttons.evaluate_all("buttons => buttons.every(button => button.tabIndex === 0)")
    assert page.evaluate("[...document.images].every(image => image.alt && image.complete)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_asks_no_one_and_complains_of_nothing_whatever_is_pressed(
    browser: Browser, report: Path, scheme: Literal["light", "dark"]
) -> None:
    with browser.new_page(color_scheme=scheme) as page:
        noise = listen(page)
        page.goto(report.as_uri())
        page.locator("button").evaluate_all("buttons => buttons.forEach(button => button.click())")
        expect(page.locator(".images p").first).to_be_visible()
        page.evaluate("new Promise(requestAnimationFrame)")  # what it asks for when it draws
    assert noise.requests == [report.as_uri()]
    assert not noise.complaints
