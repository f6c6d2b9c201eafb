"""What a flow run shows in Prefect's UI. Markdown and pictures are complete in themselves."""

import base64
import io
import re
from pathlib import Path
from typing import Any
from uuid import UUID

from PIL import Image
from prefect.artifacts import (
    Artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.engine.durations import describe_time, describe_total
from flows.engine.plan import PlannedStage
from flows.orchestration.asking import harmless
from vision.base.files import read_json

REPORTS = Path("reports")
PICTURE_PX = 1000
SEED = re.compile(r"^seed (\d+)$")  # of a recipe that is trained with several
EPOCH = re.compile(r"^epoch (\d+)/(\d+)  (.+)$")


@harmless
def publish_plan(plan: list[PlannedStage], root: Path) -> None:
    create_table_artifact(
        table=[tabulate_stage(stage, root) for stage in plan],
        key="plan",
        description=f"What this run does, and why. {describe_total(plan, root)}.",
    )


def tabulate_stage(stage: PlannedStage, root: Path) -> dict[str, str]:
    return {
        "stage": stage.name,
        "verdict": stage.verdict,
        "why": "; ".join(stage.reasons),
        "time": describe_time(stage, root),
    }


def publish_table(rows: list[dict[str, Any]], key: str, description: str) -> None:
    """Show a table in the terminal, and in Prefect's UI."""
    table = Table(
        *(rows[0] if rows else ()),
        title=description,
        title_justify="left",
        box=None,
        header_style="bold",
    )
    for row in rows:
        table.add_row(*(escape("" if cell is None else str(cell)) for cell in row.values()))
    Console(highlight=False).print(table)
    send_table(rows, key, description)


@harmless
def send_table(rows: list[dict[str, Any]], key: str, description: str) -> None:
    create_table_artifact(table=rows, key=key, description=description)


class EpochProgress:
    """A progress bar that follows the epochs which a training prints."""

    def __init__(self, stage: str) -> None:
        self.key = f"progress-{_slug(stage)}"
        self.title = stage
        self.stage = stage
        self.artifact: UUID | None = None

    def read(self, line: str) -> None:
        if seed := SEED.match(line):
            self.title = f"{self.stage}, seed {seed[1]}"
        if not (match := EPOCH.match(line)):
            return
        percent = 100 * int(match[1]) / int(match[2])
        self.show(percent, f"{self.title}, epoch {match[1]} of {match[2]}: {match[3]}")

    @harmless
    def show(self, percent: float, description: str) -> None:
        if self.artifact:
            update_progress_artifact(self.artifact, percent, description)
        else:
            self.artifact = create_progress_artifact(percent, self.key, description)  # type: ignore[assignment]


@harmless
def publish_results(tree: Path, page: Path, is_new: bool) -> None:
    """Publish the results table, the confusion matrices and the report of a tree.

    Args:
        page: the HTML report, where it stays.
        is_new: whether a stage ran; pictures and report that the server has are not sent again.
    """
    folder = tree / REPORTS
    metrics = read_json(folder / "metrics.json")
    publish_table(tabulate_results(metrics), "results", "Results")
    page = page.resolve()
    create_link_artifact(link=page.as_uri(), link_text=str(page), key="report-html")
    if not is_new and Artifact.get("report"):
        return
    for picture in sorted((folder / "figures").glob("confusion-*.png")):
        name = picture.stem.removeprefix("confusion-")
        create_markdown_artifact(
            f"![Confusion matrix of {name}]({_inline(picture)})",
            key=_slug(picture.stem),
            description=f"Confusion matrix of {name}",
        )
    report = (folder / "report.md").read_text(encoding="utf-8")
    create_markdown_artifact(inline_pictures(report, folder), key="report", description="Report")


def tabulate_results(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each model; accuracies in percent."""
    return [
        {
            "model": name,
            "val %": _percent(model["val_accuracy"]),
            "test %": _percent(model["test_accuracy"]),
            "interval": f"[{_percent(model['test_accuracy_low'])}, "
            f"{_percent(model['test_accuracy_high'])}]",
            "best epoch": f"{model['best_epoch']} of {model['epochs']}"
            if "epochs" in model
            else "",
        }
        for name, model in metrics["models"].items()
    ]


def inline_pictures(markdown: str, folder: Path) -> str:
    """Put the pictures that a Markdown text links to into the text itself."""
    return re.sub(
        r"(!\[[^\]]*\])\(([^):]+\.png)\)",
        lambda match: f"{match[1]}({_inline(folder / match[2])})",
        markdown,
    )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _inline(picture: Path) -> str:
    """Return a picture for a page: small, for the server passes no event of over 1.5 MB on."""
    buffer = io.BytesIO()
    with Image.open(picture) as image:
        image.thumbnail((PICTURE_PX, PICTURE_PX))
        image.save(buffer, "WEBP", quality=75, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
