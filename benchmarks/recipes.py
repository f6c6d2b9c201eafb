"""Validation accuracy of the recorded trainings against minutes, at the speeds of one benchmark."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.speed import Speed
from vision.files import read_json

TRAINING = Path("data/training")
SPLIT = Path("data/split/summary.json")
STORED_PX = 32  # of CIFAR-10
LIKE_PLAIN = "paper"  # the recipe that the plain programs compute as well


@dataclass(frozen=True)
class Course:
    """One recipe in one program, from epoch to epoch."""

    recipe: str
    program: str
    minutes: list[float]  # from the start to the end of each epoch, validation included
    accuracies: list[float]  # on validation

    @property
    def best(self) -> float:
        return max(self.accuracies)


def trace_courses(speeds: list[Speed]) -> list[Course]:
    """Return the courses of the recorded ResNet18s, at the measured sizes."""
    sizes = {speed.input_px for speed in speeds}
    return [
        course
        for path in sorted(TRAINING.glob("*/summary.json"))
        if (summary := read_json(path))["family"] == "finetune" and sizes.issuperset(_px(summary))
        for course in _trace(path.parent, summary, speeds)
    ]


def _trace(folder: Path, summary: dict[str, Any], speeds: list[Speed]) -> Iterator[Course]:
    accuracies = list(pd.read_csv(folder / "history.csv").val_accuracy)
    split = read_json(SPLIT)
    n_train, n_val = split["train"]["n"], split["val"]["n"]
    recipe = summary["recipe"]
    views = (1 + recipe["test_flip"]) * (3 if recipe.get("test_shift_px") else 1)
    *epochs, judged = _px(summary)
    for is_plain in (True, False):
        if is_plain and folder.name != LIKE_PLAIN:
            continue
        found = {
            px: [
                s for s in speeds if s.input_px == px and s.program.startswith("plain") == is_plain
            ]
            for px in {*epochs, judged}
        }
        judging = views * n_val / max(speed.evaluate for speed in found[judged])
        seconds = [n_train / max(speed.train for speed in found[px]) + judging for px in epochs]
        program = "plain program" if is_plain else "this pipeline"
        minutes = [total / 60 for total in accumulate(seconds)]
        yield Course(folder.name, program, minutes, accuracies)


def _px(summary: dict[str, Any]) -> list[int]:
    """Return the image sides that a recipe trains at, epoch by epoch, and is judged at."""
    recipe = summary["recipe"]
    judged = recipe["input_px"] or STORED_PX
    return [*(recipe.get("px_by_epoch") or [judged] * recipe["epochs"]), judged]
