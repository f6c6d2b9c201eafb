"""Where the model of the report is weak: its accuracy on slices of the test images."""

from dataclasses import fields

import pandas as pd

from vision.evaluation.slices import FEWEST, Slice
from vision.report.blocks import Block, Section, Table, Text
from vision.report.runs import Results
from vision.report.words import percent

MOST_LISTED = 20
HOW = (
    "Brightness and contrast, the mean and the standard deviation of the luminance, are those of "
    "the stored image, in percent of the largest value; quarters hold about equally many images. "
    "Size is the square root of the original's pixels. Slices overlap. reports/slices.csv has all."
)


def build_slices(results: Results) -> list[Section]:
    """Say on which slices of the test images the best model is weakest, if there are any."""
    found = results.slices
    if not found:
        return []
    table, text = list_slices(results, found), Text(describe_slices(results, found))
    blocks: list[Block] = [Text(text.text, results.mark(results.best)), table, Text(HOW)]
    return [Section("Slices", blocks)]


def tabulate_slices(results: Results) -> pd.DataFrame:
    """Return the best model's accuracy on each slice, the lowest first, a row each: slices.csv."""
    found = pd.DataFrame(results.slices, columns=[field.name for field in fields(Slice)])
    found.insert(0, "model", results.best.name)
    return found


def describe_slices(results: Results, found: list[Slice]) -> str:
    best, weakest = results.best, found[0]
    accuracy = best.metrics["accuracy"]
    relation = (
        f"significantly below the {percent(accuracy)} on all"
        if weakest.high < accuracy
        else f"which does not exclude the {percent(accuracy)} on all"
    )
    slices = f"{len(found):,} slices" if len(found) > 1 else "1 slice"
    return (
        f"Of {slices} of {FEWEST} test images or more, {best.label} has the lowest accuracy by "
        f"{weakest.attribute}, {weakest.value}: {percent(weakest.accuracy)} of its "
        f"{weakest.n:,} images. The interval, corrected for looking at {slices} (Bonferroni), is "
        f"{100 * weakest.low:.1f} to {percent(weakest.high)}, {relation}."
    )


def list_slices(results: Results, found: list[Slice]) -> Table:
    rows: list[tuple[str, ...]] = [
        (
            each.attribute,
            each.value,
            f"{each.n:,}",
            f"{100 * each.accuracy:.1f} [{100 * each.low:.1f}, {100 * each.high:.1f}]",
        )
        for each in found[:MOST_LISTED]
    ]
    few = f", the {MOST_LISTED} weakest of {len(found):,}" if len(found) > MOST_LISTED else ""
    caption = (
        f"Accuracy of {results.best.label} by slice of the test images{few}; the intervals hold "
        f"together with {100 * results.best.metrics['confidence']:g} %"
    )
    header = ("By", "Slice", "Images", "Accuracy %")
    return Table(caption, header, rows, results.mark(results.best), n_left=2, is_sortable=True)
