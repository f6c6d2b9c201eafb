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


class Form(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def print_predictions(predictions: "Iterable[Prediction]", form: Form) -> int:
    """Print what could be read, name the rest on standard error; return 1 if nothing could."""
    good = []
    for prediction in predictions:
        if prediction.error:
            print(f"skipped: {prediction.error}", file=sys.stderr)
        else:
            good.append(prediction)
    match form:
        case Form.TABLE:
            _print_table(good)
        case Form.CSV:
            _print_csv(good)
        case Form.JSON:
            rows = [{"file": p.file, "predictions": _pair(p)} for p in good]
            print(json.dumps(rows, indent=2, ensure_ascii=False))
    return 0 if good else 1


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
    writer.writerow(["file", "rank", "class", "confidence"])
    for prediction in predictions:
        for rank, pair in enumerate(_pair(prediction), start=1):
            writer.writerow([prediction.file, rank, pair["class"], pair["confidence"]])


def _pair(prediction: "Prediction") -> list[dict[str, str | float]]:
    pairs = zip(prediction.classes, prediction.probabilities, strict=True)
    return [{"class": name, "confidence": round(share, 6)} for name, share in pairs]
