"""The report's page, opened from the disk in Chromium: cells, tables, widths, colours, silence."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages import plot
from tests.browser import Page, open_browser
from tests.fake_results import write_tree

pytestmark = pytest.mark.slow

CELL = "document.querySelector('.matrix td.wrong button')"
CLASSES = "[...document.querySelectorAll('table.sortable')[0].tBodies[0].rows]"
FIRST = f"{CLASSES}.map(row => row.cells[0].innerText)"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    write_tree(root, classes=("cat", "dog", "ship"), n_test=90)
    with contextlib.chdir(root):
        plot.main()
    return root / "reports/report.html"


@pytest.fixture(scope="module")
def page(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_browser(tmp_path_factory.mktemp("profile") / "new") as page:
        page.open(report.as_uri())
        yield page


def test_a_cell_shows_its_images(page: Page) -> None:
    page.evaluate(f"{CELL}.click()")
    assert page.evaluate(f"{CELL}.getAttribute('aria-pressed')") == "true"
    shown = f"{CELL}.closest('figure').querySelectorAll('.images span')"
    tiles = page.evaluate(f"{CELL}.dataset.tiles").split()
    assert page.evaluate(f"{shown}.length") == len(tiles)
    assert page.evaluate(f"getComputedStyle({shown}[0]).backgroundImage").startswith('url("data:')
    label = page.evaluate(f"{CELL}.getAttribute('aria-label')")
    title = page.evaluate(f"{CELL}.closest('figure').querySelector('.images p').innerText")
    assert title.startswith(label)


def test_a_table_sorts_by_the_column_that_is_pressed_and_keeps_its_averages(page: Page) -> None:
    heading = "document.querySelectorAll('table.sortable')[0].tHead.rows[0].cells[2]"
    values = f"{CLASSES}.slice(0, 3).map(row => parseFloat(row.cells[2].innerText))"
    for direction in ("descending", "ascending"):
        page.evaluate(f"{heading}.querySelector('button').click()")
        assert page.evaluate(f"{heading}.getAttribute('aria-sort')") == direction
        found = page.evaluate(values)
        assert found == sorted(found, reverse=direction == "descending")
        assert page.evaluate(FIRST)[3:] == ["macro average"]


def test_words_sort_as_words(page: Page) -> None:
    page.evaluate("document.querySelectorAll('table.sortable button')[0].click()")
    assert page.evaluate(FIRST)[:3] == ["ship", "dog", "cat"]


@pytest.mark.parametrize("width", [360, 768, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_screen_is_too_narrow(page: Page, width: int, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.call("Emulation.setEmulatedMedia", features=features)
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=900,
        deviceScaleFactor=1,
        mobile=width < 500,
    )
    assert page.evaluate(OVERFLOW) == 0


def test_everything_that_is_pressed_can_be_reached_by_keyboard(page: Page) -> None:
    assert page.evaluate("document.querySelectorAll('button').length") > 10
    assert page.evaluate("[...document.querySelectorAll('button')].every(b => b.tabIndex === 0)")
    assert page.evaluate("[...document.images].every(image => image.alt && image.complete)")


def test_the_page_asks_no_one_and_complains_of_nothing(page: Page, report: Path) -> None:
    assert page.list_requests() == [report.as_uri()]
    assert not page.list_errors()
