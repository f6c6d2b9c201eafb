"""The report's page, opened from the disk in Chromium: cells, tables, widths, colours, silence."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

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


def test_a_cell_is_named_and_shows_its_images_with_their_names(page: Page) -> None:
    figure = page.locator("figure.cells:not(.difference)").first
    cell = figure.locator("td.bad:not(:empty)").first
    cell.click()
    expect(cell).to_have_attribute("aria-selected", "true")
    name = cell.get_attribute("aria-label")
    assert name
    found = re.fullmatch(r"true \w+, predicted \w+: (\d+) images? \([\d.]+ % of .*\)", name)
    assert found
    shown = figure.locator(".images span")
    expect(shown).to_have_count(min(6, int(found[1])))
    expect(shown.first).to_have_css("background-image", re.compile('^url\\("data:'))
    expect(shown.first).to_have_attribute("aria-label", re.compile(r"photos/\d+\.png: true \w+"))
    expect(figure.locator(".said")).to_have_text(re.compile(f"^{re.escape(name)}; the surest"))


def test_arrow_keys_walk_through_a_matrix_with_one_stop_of_its_own(page: Page) -> None:
    figure = page.locator("figure.cells:not(.difference)").first
    figure.locator("td[data-i='0'][data-j='0']").click()
    for key, place in (("ArrowRight", "01"), ("ArrowDown", "11"), ("End", "12"), ("Enter", "12")):
        page.keyboard.press(key)
        focused = page.evaluate("({...document.activeElement.dataset})")
        assert focused == {"i": place[0], "j": place[1]}
    assert figure.locator("td[tabindex='0']").count() == 1
    assert "true dog, predicted ship" in figure.locator(".said").inner_text()


def test_a_matrix_is_counted_in_images_and_in_shares(page: Page) -> None:
    figure = page.locator("figure.cells:not(.difference)").first
    for words, side in (("% of the true class", "i"), ("% of the predicted class", "j")):
        figure.get_by_role("button", name=words).click()
        for k in range(3):
            cells = figure.locator(f"td[data-{side}='{k}']").all_inner_texts()
            assert sum(float(text or 0) for text in cells) == pytest.approx(100, abs=0.2)
    figure.get_by_role("button", name="images", exact=True).click()
    counts = [int(text or 0) for text in figure.locator("td").all_inner_texts()]
    assert sum(counts) == 90


def test_any_two_models_can_be_compared_and_colour_says_which_is_better(page: Page) -> None:
    figure = page.locator("figure.difference")
    figure.locator("select").first.select_option("two-layer-fc")
    figure.locator("select").nth(1).select_option("paper")
    words = {"good": "which is better", "bad": "which is worse"}
    cells = figure.locator("td:not(:empty)")
    found = cells.evaluate_all("cells => cells.map(cell => [cell.className, cell.ariaLabel])")
    assert len(found) > 3
    assert all(name.endswith(f"with two-layer-fc, {words[kind]}") for kind, name in found)


def test_a_chart_reads_its_points_hides_a_model_and_zooms(page: Page) -> None:
    chart = page.locator("figure.chart", has_text="validation accuracy by epoch")
    svg, tip = chart.locator(".plot > svg"), chart.locator(".tip")
    svg.focus()
    page.keyboard.press("ArrowRight")
    expect(tip).to_have_text(re.compile(r"^two-layer-fc, training: [\d.]+ at epoch 1$"))
    chart.get_by_role("button", name="two-layer-fc").click()
    svg.focus()
    page.keyboard.press("ArrowRight")
    expect(tip).to_have_text(re.compile("^three-layer-cnn, training"))
    box = svg.bounding_box()
    assert box
    page.mouse.move(box["x"] + 100, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.up()
    whole = chart.get_by_role("button", name="show all")
    expect(whole).to_be_visible()
    whole.click()
    expect(whole).to_be_hidden()


def test_a_point_of_the_map_shows_its_image(page: Page) -> None:
    chart = page.locator("figure.chart", has_text="Map of all test images by")
    svg, tip = chart.locator(".plot > svg"), chart.locator(".tip")
    svg.focus()
    expect(chart.locator(".plot .cut circle")).to_have_count(90)
    page.keyboard.press("ArrowRight")
    expect(tip).to_have_text(re.compile(r"^photos/\d+\.png: true cat, predicted \w+"))
    expect(tip.locator("span")).to_have_css("background-image", re.compile('^url\\("data:'))
    chart.get_by_role("button", name="right or wrong").click()
    expect(chart.get_by_role("button", name="wrong", exact=True)).to_be_visible()


def test_the_numbers_of_a_chart_are_linked_as_csv(page: Page) -> None:
    chart = page.locator("figure.chart", has_text="Training and validation loss by epoch")
    chart.get_by_text("Values").click()
    with page.expect_download() as download:
        chart.get_by_role("link", name="CSV").click()
    text = Path(download.value.path()).read_text()
    rows = [line.split(",") for line in text.splitlines()]
    assert rows[0] == ["view", "series", "kind", "across", "x", "up", "y", "low", "high"]
    assert len(rows) == 1 + 3 * 2 * 4  # models, training and validation, epochs
    assert rows[1][1:5] == ["two-layer-fc", "training", "epoch", "1"]


def test_counts_turn_into_shares(page: Page) -> None:
    chart = page.locator("figure.chart").filter(has=page.get_by_role("button", name="shares"))
    chart.get_by_text("Values").click()
    chart.get_by_role("button", name="shares").click()
    values = re.findall(r": ([\d.]+) % at", chart.locator("details").inner_text())
    assert sum(map(float, values)) == pytest.approx(100, abs=0.1)


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


def test_what_scrolls_is_a_stop_and_what_fits_is_none(page: Page) -> None:
    for width, scrolls in ((360, True), (1920, False)):
        page.set_viewport_size({"width": width, "height": 900})
        table = page.locator(".scroll", has=page.locator("caption", has_text="Train, val and test"))
        table.scroll_into_view_if_needed()
        wanted = "0" if scrolls else None
        page.wait_for_function(
            "([table, wanted]) => table.getAttribute('tabindex') === wanted",
            arg=[table.element_handle(), wanted],
        )


def test_the_contents_lead_to_every_heading_and_stay_in_view(page: Page) -> None:
    page.set_viewport_size({"width": 1200, "height": 800})
    links = page.locator("nav a").evaluate_all("links => links.map(link => link.hash.slice(1))")
    headings = page.locator("h2, h3").evaluate_all("headings => headings.map(each => each.id)")
    assert links == headings
    assert len({*links}) == len(links)
    page.locator("nav a").last.click()
    expect(page.locator("nav")).to_be_in_viewport()
    expect(page.locator("h2").last).to_be_in_viewport()


def test_the_first_screen_has_key_figures_the_verdict_and_the_comparison(page: Page) -> None:
    page.set_viewport_size({"width": 1200, "height": 800})
    page.evaluate("scrollTo(0, 0)")
    for found in (".tiles", ".first p", ".first .chart svg"):
        expect(page.locator(found).first).to_be_in_viewport(ratio=0.9)
    assert not re.search("[0-9a-f]{16}", page.locator(".first").inner_text())


SHOW_ALL = "section { content-visibility: visible !important }"  # axe skips what is not drawn


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(
    browser: Browser, report: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    size: ViewportSize = {"width": width, "height": 800}
    with browser.new_page(color_scheme=scheme, viewport=size) as page:
        page.goto(report.as_uri())
        page.add_style_tag(content=SHOW_ALL)
        page.locator("td.bad:not(:empty)").first.click()
        page.locator("main details").first.evaluate("values => { values.open = true }")
        page.evaluate("new Promise(done => setTimeout(done, 300))")  # what is drawn as it is seen
        found = Axe().run(page).response["violations"]
        assert not [(each["id"], each["nodes"][0]["html"][:200]) for each in found]


def test_paper_shows_every_chart_on_white(browser: Browser, report: Path) -> None:
    with browser.new_page(color_scheme="dark") as page:
        page.goto(report.as_uri())
        page.pdf()  # as printing does, it asks for what was not yet drawn
        charts = page.locator(".plot > svg").evaluate_all(
            "all => all.map(svg => svg.childElementCount)"
        )
        assert len(charts) == 9
        assert all(charts)
        page.emulate_media(media="print")
        assert page.locator("body").evaluate(BACKGROUND) == "rgb(255, 255, 255)"
        assert page.locator("figure.chart").first.evaluate(BREAK) == "avoid"


BACKGROUND = "element => getComputedStyle(element).backgroundColor"
BREAK = "element => getComputedStyle(element).breakInside"


@pytest.mark.parametrize(
    ("classes", "n_test", "megabytes"), [(2, 6, 2), (1000, 50_000, 10)], ids=["two", "thousand"]
)
def test_the_page_opens_within_5_seconds_whatever_the_number_of_classes(
    browser: Browser, tmp_path: Path, classes: int, n_test: int, megabytes: int
) -> None:
    names = tuple(f"class {number}" for number in range(classes))
    write_tree(tmp_path, names, {"paper": 0.8}, n_test, n_val=min(n_test, 1000))
    with contextlib.chdir(tmp_path):
        plot.main()
    path = tmp_path / "reports/report.html"
    assert path.stat().st_size < megabytes * 1e6
    with browser.new_page() as page:
        noise = listen(page)
        page.goto(path.as_uri())
        page.evaluate("new Promise(requestAnimationFrame)")
        assert page.evaluate("performance.now()") < 5000
        cells = page.locator("figure.cells canvas" if classes > 40 else "figure.cells td").first
        cells.scroll_into_view_if_needed()
        cells.click()
        expect(page.locator(".said").first).to_have_text(re.compile("^true class"))
    assert not noise.complaints


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_asks_no_one_and_complains_of_nothing_whatever_is_pressed(
    browser: Browser, report: Path, scheme: Literal["light", "dark"]
) -> None:
    with browser.new_page(color_scheme=scheme) as page:
        noise = listen(page)
        page.goto(report.as_uri())
        page.locator("button").evaluate_all("buttons => buttons.forEach(button => button.click())")
        page.locator("td").evaluate_all("cells => cells.forEach(cell => cell.click())")
        expect(page.locator(".images span").first).to_be_visible()
        page.evaluate("new Promise(requestAnimationFrame)")  # what it asks for when it draws
    assert noise.requests == [report.as_uri()]
    assert not noise.complaints
