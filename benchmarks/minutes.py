"""What each recipe reaches in a given number of minutes on this machine, by training it.

Reads params.yaml, data/raw, data/split and data/pretrained. Each recipe is trained for 1, 2, 4, 8
epochs and so on, its schedule stretched over them, until a training would take too long.
Writes, into a folder:
    pieces/RECIPE-EPOCHS.json   one finished training
    README.md, minutes.png      what is finished so far
One that is not finished has its checkpoint in data/checkpoints, from which the next call goes on.
"""

import json
import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure

from benchmarks.gpu_data import Recipe, Stock, digest_code
from benchmarks.gpu_pack import read_commit
from benchmarks.gpu_page import render_conditions, render_missing, write_table
from benchmarks.gpu_pieces import Left, OutOfTimeError, train
from benchmarks.gpu_plan import Budget, Piece, describe_conditions, run_pieces
from vision.base.errors import DataError, ParamsError
from vision.base.files import read_json, write_text
from vision.base.sections import load_section, load_seed
from vision.data.dataset import load_manifest, load_split
from vision.models.pretrained import load_pretrained, load_pretrained_manifest
from vision.report.figures import COLOURS, MARKERS, STYLE
from vision.schema.baselines import load_baseline
from vision.schema.finetune import FinetuneParams
from vision.training.checkpoints import open_checkpoint

RECIPES = {"whitened-cnn": "baselines", "tuned": "finetune", "paper": "finetune"}
START = "tuned"  # whose weights paper starts from as well
MINUTES = (1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60)
MOST_EPOCHS = 128
NOTHING = "—"
HOW = (
    "Each recipe was trained for the epochs named below, its schedule stretched over them; seconds "
    "are of training, validation included, from the first step to the last. At each number of "
    "minutes stands, of the trainings of a recipe that end by then, the one with the highest "
    "validation accuracy, by all views of the recipe; bold is the highest on validation. Test "
    "accuracy is read after that choice. One seed each."
)


@dataclass(frozen=True)
class Point:
    """One finished training."""

    recipe: str
    epochs: int
    minutes: float  # of training, validation included
    val: float  # accuracy at the kept epoch, by all views of the recipe
    test: float


def load_stock() -> Stock:
    """Open what the stages of this project have made.

    Raises:
        DataError: they have not.
        ParamsError: the recipes start from different weights.
    """
    try:
        return _load_stock()
    except FileNotFoundError as error:
        way_out = f"dvc repro split download-weights@{START} makes it"
        raise DataError(f"{error.filename} is missing: {way_out}") from None


def _load_stock() -> Stock:
    recipes: dict[str, Recipe] = {
        name: load_baseline(name)
        if section == "baselines"
        else load_section(f"{section}.{name}", FinetuneParams)
        for name, section in RECIPES.items()
    }
    finetuned = [each for each in recipes.values() if isinstance(each, FinetuneParams)]
    if len({(each.architecture, each.weights) for each in finetuned}) > 1:
        raise ParamsError("finetune.tuned and finetune.paper start from different weights")
    facts = {"images": load_manifest(), "weights": load_pretrained_manifest(START)}
    train_set, val, test = (load_split(name) for name in ("train", "val", "test"))
    weights = load_pretrained(START)
    return Stock(train_set, val, test, weights, recipes, facts | {"code": digest_code()})


def measure_minutes(folder: Path, limit: float, budget: Budget) -> None:
    """Train what is missing, and write the page anew after each training.

    Args:
        limit: minutes that a training may take.
        budget: of this call.
    """
    stock = load_stock()
    conditions = describe_conditions(stock)
    for missing in run_pieces(list_pieces(stock, folder, limit), folder, conditions, budget):
        write_page(folder, conditions | {"commit": read_commit()}, missing)


def list_pieces(stock: Stock, folder: Path, limit: float) -> list[Piece]:
    """Return all trainings, the short ones first."""
    powers = {2**power for power in range(MOST_EPOCHS.bit_length())}
    lengths = sorted(powers | {recipe.epochs for recipe in stock.recipes.values()})
    return [
        Piece(
            name := f"{recipe}-{epochs}",
            name,
            0.0,
            partial(_train, recipe, epochs, stock, folder, limit),
        )
        for epochs in lengths
        for recipe in stock.recipes
    ]


def _train(
    recipe: str, epochs: int, stock: Stock, folder: Path, limit: float, left: Left
) -> dict[str, Any]:
    """Train, unless that takes too long by what fewer epochs took."""
    shorter = [point for point in read_points(folder) if point.recipe == recipe]
    expected = max((point.minutes / point.epochs for point in shorter), default=0.0) * epochs
    if expected > limit:
        raise OutOfTimeError(f"would take {expected:.0f} minutes, more than {limit:g}")
    if expected > left() / 60:
        raise OutOfTimeError(f"would take {expected:.0f} minutes, {left() / 60:.0f} were left")
    changed = stock.recipes[recipe].model_copy(update={"epochs": epochs, "px_by_epoch": None})
    decisive = {"conditions": describe_conditions(stock), "params": changed.model_dump(mode="json")}
    texts = {key: json.dumps(value, sort_keys=True) for key, value in decisive.items()}
    checkpoint = open_checkpoint(f"minutes-{recipe}-{epochs}", texts)
    own = replace(stock, recipes={recipe: changed})
    return train(recipe, load_seed(), own, lambda _: checkpoint) | {"epochs": epochs}


def read_points(folder: Path) -> list[Point]:
    """Return the finished trainings, the shortest first."""
    pieces = [read_json(path)["figures"] for path in (folder / "pieces").glob("*.json")]
    points = [
        Point(
            each["recipe"],
            each["epochs"],
            each["fit_seconds"] / 60,
            each["accuracy"]["val"],
            each["accuracy"]["test"],
        )
        for each in pieces
    ]
    return sorted(points, key=lambda point: point.minutes)


def find_best(points: list[Point], minutes: float) -> Point | None:
    """Return the training that validates best of those that end by then."""
    done = [point for point in points if point.minutes <= minutes]
    return max(done, key=lambda point: point.val, default=None)


def write_page(folder: Path, conditions: dict[str, Any], missing: list[str]) -> None:
    points = read_points(folder)
    lines = [
        "# Accuracy by minutes",
        "",
        *render_conditions({"conditions": conditions}),
        "",
        HOW,
        "",
    ]
    lines += [*write_table(*tabulate(points)), "", "![Accuracy by minutes](minutes.png)", ""]
    lines += ["## The trainings", "", *write_table(*list_trainings(points)), ""]
    write_text(folder / "README.md", "\n".join([*lines, *render_missing(missing), ""]))
    with style.context(["default", STYLE]):
        draw(points).savefig(folder / "minutes.png", dpi=150)


def tabulate(points: list[Point]) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of a table: by minutes, what each recipe reaches, and the best."""
    rows = []
    for minutes in MINUTES:
        found = {recipe: find_best(_of(points, recipe), minutes) for recipe in RECIPES}
        best = find_best(points, minutes)
        cells = [_show(point, point is best) for point in found.values()]
        rows.append([str(minutes), *cells, best.recipe if best else NOTHING])
    return ["minutes", *[f"{name}, val / test %" for name in RECIPES], "best"], rows


def _show(point: Point | None, is_best: bool) -> str:
    if point is None:
        return NOTHING
    epochs = f"{point.epochs} epoch{'s' * (point.epochs > 1)}"
    text = f"{100 * point.val:.1f} / {100 * point.test:.1f}, {epochs}"
    return f"**{text}**" if is_best else text


def _of(points: list[Point], recipe: str) -> list[Point]:
    return [point for point in points if point.recipe == recipe]


def list_trainings(points: list[Point]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            point.recipe,
            str(point.epochs),
            f"{point.minutes:.1f}",
            f"{100 * point.val:.2f}",
            f"{100 * point.test:.2f}",
        ]
        for recipe in RECIPES
        for point in _of(points, recipe)
    ]
    return ["recipe", "epochs", "minutes", "val %", "test %"], rows


def draw(points: list[Point]) -> Figure:
    """Draw a step for each training of a recipe that validates better than all shorter ones."""
    figure = Figure(figsize=(8, 4))
    axes = figure.subplots()
    for recipe, colour, marker in zip(RECIPES, COLOURS, MARKERS, strict=False):
        own = _of(points, recipe)
        best = [find_best(own, point.minutes) for point in own]
        heights = [100 * point.val for point in best if point]
        x = [point.minutes for point in own]
        y = [*heights, *heights[-1:]] or [math.nan]
        (line,) = axes.step([*x, MINUTES[-1]], y, where="post", label=recipe)
        line.set(color=colour, marker=marker, markevery=list(range(len(own))))
    axes.set(xscale="log", xlabel="minutes of training, validation included")
    axes.set(ylabel="validation accuracy (%)", xticks=MINUTES, xticklabels=map(str, MINUTES))
    axes.minorticks_off()
    axes.legend(frameon=False)
    return figure
