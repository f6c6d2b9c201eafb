"""Take the pictures of these pages from a run of the tutorial: its plan, its report.

Run: python -m docs.screenshots FOLDER, where FOLDER is the clone in which the tutorial was done.
"""

import base64
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.browser import Page, open_browser

PICTURES = Path("docs/pictures")
CHANGE = "baselines.three-layer-cnn.learning_rate=0.003"
COLUMNS = 100
WIDTH_PX = 900
CELL_PX = 500
WRONG = "[...document.querySelectorAll('.matrix td.wrong button')]"
MOST = f"{WRONG}.sort((a, b) => b.innerText - a.innerText)[0]"  # the cell of the most errors
BOX = "(({x, y, width, height}) => ({x, y, width, height}))"


def main() -> None:
    project = Path(sys.argv[1]).resolve()
    draw_plan(project)
    with tempfile.TemporaryDirectory() as profile, open_browser(Path(profile) / "new") as page:
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=WIDTH_PX,
            height=760,
            deviceScaleFactor=1,
            mobile=False,
        )
        page.call("Emulation.setScrollbarsHidden", hidden=True)
        page.open((project / "reports/report.html").as_uri())
        save(page, "report.png")
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
    page.evaluate(f"{MOST}.click()")
    figure = f"{MOST}.closest('figure')"
    page.evaluate(f"{figure}.style.width = '{CELL_PX}px'")
    page.evaluate(f"{figure}.scrollIntoView()")
    box = page.evaluate(f"{BOX}({figure}.getBoundingClientRect())")
    box["y"] += page.evaluate("scrollY")
    save(page, "cell.png", clip=box | {"scale": 1})


def save(page: Page, name: str, **how: object) -> None:
    beyond = "clip" in how
    answer = page.call("Page.captureScreenshot", format="png", captureBeyondViewport=beyond, **how)
    (PICTURES / name).write_bytes(base64.b64decode(answer["data"]))


if __name__ == "__main__":
    main()
