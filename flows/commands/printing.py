"""Print predictions as a table, as CSV or as JSON."""

import csv
import json
import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:  # it loads torch, for which `pipeline --help` need not wait
    from vision.serving.prediction import Prediction

NOTHING_READ = 1  # exit status: no file could be read
SOME_UNREAD = 3  # some could not; 2 is typer's, for a wrong call


class Form(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def print_predictions(predictions: "Iterable[Prediction]", form: Form) -> int:
    """Print what was predicted, and name on standard error what could not be read.

    Returns:
        The exit status: 0, or NOTHING_READ, or SOME_UNREAD.
    """
    every = list(predictions)
    good = [prediction for prediction in every if not prediction.error]
    match form:
        case Form.TABLE if good:
            _print_table(good)
        case Form.CSV:
            _print_csv(every)
        case Form.JSON:
            rows = [
                {"file": p.file, "predictions": _pair(p), "error": p.error or None} for p in every
            ]
            print(json.dumps(rows, indent=2, ensure_ascii=False))
    for prediction in every:
        if prediction.error:
            print("skipped: " * bool(good) + prediction.error, file=sys.stderr)
    if not good:
        return NOTHING_READ
    return SOME_UNREAD if len(good) < len(every) else 0


def _print_table(predictions: "list[Prediction]") -> None:
    table = Table("image", "class", "confidence", "next", box=None, header_style="bold")
    for prediction in predictions:
        (first, confidence), *others = zip(
            prediction.classes, prediction.probabilities, strict=True
        )
        rest = ", ".join(f"{name} {share:.1%}" for name, share in others)
        table.add_row(escape(prediction.file), escape(first), f"{confidence:.1%}", escape(rest))
    Console(highlight=False).print(table)


def _print_csv(predictions: "list[Prediction]") -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", "rank", "class", "confidence", "error"])
    for prediction in predictions:
        if prediction.error:
            writer.writerow([prediction.file, "", "", "", prediction.error])
        for rank, pair in enumerate(_pair(prediction), start=1):
            writer.writerow([prediction.file, rank, pair["class"], pair["confidence"], ""])


def _pair(prediction: "Prediction") -> list[dict[str, str | float]]:
    pairs = zip(prediction.classes, prediction.probabilities, strict=True)
    return [{"class": name, "confidence": round(share, 6)} for name, share in pairs]
