"""Validation accuracy of the recorded trainings against minutes, at the speeds of one benchmark."""

from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.speed import (
    Program,
    Rates,
    build_plain_programs,
    build_trainer,
    take_turns,
)
from vision.base.files import read_json
from vision.data.dataset import ImageSet
from vision.models.networks import AVERAGE

TRAINING = Path("data/training")
SPLIT = Path("data/split/summary.json")
STORED_PX = 32  # of CIFAR-10
LONG = {"epochs": 1000}  # more than are timed
# Left out: no recipe of theirs competes, or they are no trainings.
LEFT_OUT = ("two-layer-fc", "three-layer-cnn", AVERAGE)
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


def trace_courses(data: ImageSet, rounds: int) -> list[Course]:
    """Return the courses of the recorded trainings, at the speed of their recipes on these images.

    The plain program computes what `paper` does: it has that one's accuracies.
    """
    recipes = _read_recipes()
    if not recipes:
        return []
    plain = build_plain_programs(data, STORED_PX) if LIKE_PLAIN in recipes else {}
    programs: dict[tuple[str, int], Program] = {(name, STORED_PX): plain[name] for name in plain}
    for name, recipe in recipes.items():
        for px in set(list_sides(recipe)):
            one_size = {"input_px": px, "px_by_epoch": None}
            one_size |= {"head_epochs": 0} if "head_epochs" in recipe else {}
            programs[name, px] = build_trainer(data, recipe | LONG | one_size)
    rates = take_turns(programs, data, rounds)
    n_train, n_val = (read_json(SPLIT)[subset]["n"] for subset in ("train", "val"))

    def trace(recipe: str, program: str, measured: str) -> Course:
        found = {px: rate for (name, px), rate in rates.items() if name == measured}
        minutes = add_minutes(list_sides(recipes[recipe]), found, n_train, n_val)
        accuracies = list(pd.read_csv(TRAINING / recipe / "history.csv").val_accuracy)
        return Course(recipe, program, minutes, accuracies)

    ours = [trace(name, "this pipeline", name) for name in recipes]
    faster = max(plain, key=lambda name: rates[name, STORED_PX].train, default=None)
    return [trace(LIKE_PLAIN, "plain program", faster), *ours] if faster else ours


def _read_recipes() -> dict[str, dict[str, Any]]:
    summaries = {path.parent.name: read_json(path) for path in TRAINING.glob("*/summary.json")}
    return {
        name: {"architecture": summary["architecture"]} | summary["recipe"]
        for name, summary in sorted(summaries.items())
        if summary["architecture"] not in LEFT_OUT
    }


def add_minutes(sides: list[int], rates: dict[int, Rates], n_train: int, n_val: int) -> list[float]:
    """Return the minutes from the start to the end of each epoch.

    Args:
        sides: of the images, in pixels: epoch by epoch, and that at which they are judged.
        rates: by side.
    """
    *epochs, judged = sides
    judging = n_val / rates[judged].evaluate
    seconds = [n_train / rates[px].train + judging for px in epochs]
    seconds[0] += n_train * rates[epochs[0]].begin
    return [total / 60 for total in accumulate(seconds)]


def list_sides(recipe: dict[str, Any]) -> list[int]:
    """Return the sides of the images that a recipe trains on, epoch by epoch, and is judged on."""
    judged = recipe["input_px"] or STORED_PX
    return [*(recipe.get("px_by_epoch") or [judged] * recipe["epochs"]), judged]
