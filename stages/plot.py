"""Draw the figures and write the report.

Reads data/raw, data/split, and of each listed model
data/training/NAME, data/timings/NAME.json and data/predictions/NAME/metrics.json; writes reports/.
Run: python -m stages plot
"""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from stages.made import describe_making
from vision.base.files import write_bytes, write_json, write_rows, write_text
from vision.base.sections import load_section
from vision.report.figures import draw_figures
from vision.report.page import (
    Made,
    build_report,
    draw_sheets,
    list_epochs,
    render_html,
    render_markdown,
    render_model_card,
    summarise,
)
from vision.report.runs import Results, load_results
from vision.report.slicing import tabulate_slices
from vision.report.tables import list_predictions
from vision.schema.report import ModelsParams, PlotParams

REPORTS_DIR = Path("reports")


def main() -> None:
    models, params = load_section("models", ModelsParams), load_section("plot", PlotParams)
    results = load_results(models)
    figures = draw_figures(results, params)
    report = build_report(results, params)
    write_figures(figures)
    write_json(REPORTS_DIR / "metrics.json", summarise(results))
    write_rows(REPORTS_DIR / "curves.csv", list_epochs(results))
    predictions = list_predictions(results).to_csv(index=False, float_format="%.4f")
    write_text(REPORTS_DIR / "predictions.csv", predictions)
    slices = tabulate_slices(results).to_csv(index=False, float_format="%.4f")
    write_text(REPORTS_DIR / "slices.csv", slices)
    write_text(REPORTS_DIR / "report.md", render_markdown(report))
    made = Made(describe_making(), Path("params.yaml").read_text(encoding="utf-8"))
    page = render_html(report, figures, draw_sheets(results), made)
    write_text(REPORTS_DIR / "report.html", page)
    write_text(REPORTS_DIR / "model-card.md", render_model_card(results))
    print_results(results)


def write_figures(figures: dict[str, bytes]) -> None:
    """Write the figures and remove those of models that are no longer listed."""
    folder = REPORTS_DIR / "figures"
    for file, png in figures.items():
        write_bytes(folder / file, png)
    for path in folder.glob("*.png"):
        if path.name not in figures:
            path.unlink()


def print_results(results: Results) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("model")
    for title in ("val %", "test %", "interval", "seconds"):
        table.add_column(title, justify="right")
    for run in results.runs:
        test = run.metrics
        bounds = [f"{100 * test[key]:.1f}" for key in ("accuracy_low", "accuracy_high")]
        table.add_row(
            run.label,
            f"{100 * test['val_accuracy']:.1f}",
            f"{100 * test['accuracy']:.1f}",
            f"[{bounds[0]}, {bounds[1]}]",
            f"{run.timing['train_seconds']:,.0f}",
        )
    console = Console()
    console.print(table)
    console.print(str(REPORTS_DIR / "report.html"), highlight=False)
