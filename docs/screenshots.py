"""Take the pictures of these pages from a run of the tutorial: its plan, its report.

Run: python -m docs.screenshots FOLDER, where FOLDER is the clone in which the tutorial was done.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page
from rich.console import Console
from rich.text import Text

from tests.browser import start_browser

PICTURES = Path("docs/pictures")
CHANGE = "baselines.three-layer-cnn.learning_rate=0.003"
COLUMNS = 100
WIDTH_PX = 900
CELL_PX = 500


def main() -> None:
    project = Path(sys.argv[1]).resolve()
    draw_plan(project)
    with start_browser() as browser:
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": 760})
        page.goto((project / "reports/report.html").as_uri())
        page.screenshot(path=PICTURES / "report.png")
        photograph_cell(page)


def draw_plan(project: Path) -> None:
    """Write what `pipeline plan` prints as an SVG without a font from elsewhere."""
    environment = os.environ | {"COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"}
    command = [sys.executable, "-m", "flows.cli", "plan", "-S", CHANGE]
    printed = subprocess.run(
        command, cwd=project, env=environment, check=True, capture_output=True, text=True
    ).stdout
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere)
        console.print(Text.from_ansi(f"$ pipeline plan -S {CHANGE}\n{printed.rstrip()}"))
    svg = console.export_svg(title="pipeline plan", unique_id="plan")
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / "plan.svg").write_text(svg, encoding="utf-8")


def photograph_cell(page: Page) -> None:
    """Press the wrong cell with the most images and save its matrix with them."""
    cells = page.locator(".cells:not(.difference) td.bad:not(:empty)")
    counts = [int(text.replace(",", "")) for text in cells.all_text_contents()]
    cell = cells.nth(counts.index(max(counts)))
    cell.click()
    figure = cell.locator("xpath=ancestor::figure")
    figure.evaluate(f"figure => figure.style.width = '{CELL_PX}px'")
    figure.screenshot(path=PICTURES / "cell.png")


if __name__ == "__main__":
    main()
