"""The page of benchmarks.minutes: tables, a plot, and what is best in the plain program's time."""

import math
from statistics import mean
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure

from benchmarks.gpu_page import render_conditions, render_missing, write_table
from benchmarks.minutes_points import (
    N_SEEDS,
    RECIPES,
    Point,
    Study,
    find_best,
    read_plain,
    read_points,
)
from vision.base.files import write_text
from vision.base.sections import load_seed
from vision.report.figures import COLOURS, MARKERS, STYLE

MINUTES = (1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60)
NOTHING = "—"
HOW = (
    "Each recipe was trained for the epochs named below, its schedule stretched over them; minutes "
    "are of training, validation included, from the first step to the last. Where two recipes "
    "decide together, by the mean of their logits, they are those of both. At each number of "
    "minutes stands, of the trainings that end by then, the one with the highest validation "
    "accuracy, by all views of the recipe; bold is the highest on validation. Test accuracy is "
    "read after that choice. In tables and plot one seed each."
)


def write_page(study: Study, conditions: dict[str, Any], missing: list[str]) -> None:
    points = read_points(study)
    lines = [
        "# Accuracy by minutes",
        "",
        *render_conditions({"conditions": conditions}),
        "",
        f"{HOW} {describe_changes(study)}",
        "",
        *describe_chosen(study, points),
    ]
    table = write_table(*tabulate(points, study.names, study.limit))
    lines += [*table, "", "![Accuracy by minutes](minutes.png)", ""]
    alone = [point for point in points if point.recipe in RECIPES]
    lines += ["## The trainings", "", *write_table(*list_trainings(alone)), ""]
    write_text(study.folder / "README.md", "\n".join([*lines, *render_missing(missing), ""]))
    with style.context(["default", STYLE]):
        draw(points, study.names, study.limit).savefig(study.folder / "minutes.png", dpi=150)


def describe_changes(study: Study) -> str:
    """Say in which precision all ran, and what was not as params.yaml has it."""
    named = [f"{name} in {recipe.precision}" for name, recipe in study.stock.recipes.items()]
    text = f"Trained {', '.join(named)}, the plain program in fp32."
    changed = [f"{key} {value}" for key, value in study.overrides.items()]
    return f"{text} Other than in params.yaml: {', '.join(changed)}." if changed else text


def describe_chosen(study: Study, points: list[Point]) -> list[str]:
    """Say what is best within the time of the plain program, and what further seeds give."""
    if (minutes := read_plain(study)) is None:
        return []
    chosen = find_best(points, minutes)
    text = (
        f"A plain PyTorch program would take {minutes:.1f} minutes for the paper's recipe, "
        "validation included, by one epoch of it in this run."
    )
    if chosen is None:
        return [text, ""]
    text += (
        f" What validates best by then is {chosen.recipe}, {chosen.words}, in {chosen.minutes:.1f} "
        f"minutes: {100 * chosen.val:.1f} % val, {100 * chosen.test:.1f} % test."
    )
    first = load_seed()
    others = [
        point
        for seed in range(first + 1, first + N_SEEDS)
        for point in read_points(study, seed)
        if (point.recipe, point.epochs) == (chosen.recipe, chosen.epochs)
    ]
    if others:
        same = [chosen, *others]
        means = [100 * mean(getattr(point, subset) for point in same) for subset in ("val", "test")]
        longest = max(point.minutes for point in same)
        text += (
            f" The mean of {len(same)} seeds is {means[0]:.1f} % val and {means[1]:.1f} % test, "
            f"the longest of them {longest:.1f} minutes."
        )
    return [text, ""]


def tabulate(
    points: list[Point], names: list[str], limit: float = MINUTES[-1]
) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of a table: by minutes, what each recipe reaches, and the best.

    Args:
        limit: minutes that a training might take.
    """
    rows = []
    for minutes in list_minutes(limit):
        found = {name: find_best(_of(points, name), minutes) for name in names}
        best = find_best(points, minutes)
        cells = [_show(point, point is best) for point in found.values()]
        rows.append([str(minutes), *cells, best.recipe if best else NOTHING])
    return ["minutes", *[f"{name}, val / test %" for name in names], "best"], rows


def list_minutes(limit: float) -> list[int]:
    """Return the numbers of minutes that are shown, of those that trainings might take."""
    return [minutes for minutes in MINUTES if minutes <= limit]


def _show(point: Point | None, is_best: bool) -> str:
    if point is None:
        return NOTHING
    text = f"{100 * point.val:.1f} / {100 * point.test:.1f}, {point.words}"
    return f"**{text}**" if is_best else text


def _of(points: list[Point], recipe: str) -> list[Point]:
    return [point for point in points if point.recipe == recipe]


def list_trainings(points: list[Point]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            point.recipe,
            str(point.epochs[0]),
            f"{point.minutes:.1f}",
            f"{100 * point.val:.2f}",
            f"{100 * point.test:.2f}",
        ]
        for recipe in RECIPES
        for point in _of(points, recipe)
    ]
    return ["recipe", "epochs", "minutes", "val %", "test %"], rows


def draw(points: list[Point], names: list[str], limit: float = MINUTES[-1]) -> Figure:
    """Draw a step for each training of a recipe that validates better than all shorter ones."""
    figure = Figure(figsize=(8, 4))
    axes = figure.subplots()
    for recipe, colour, marker in zip(names, COLOURS, MARKERS, strict=False):
        own = _of(points, recipe)
        best = [find_best(own, point.minutes) for point in own]
        heights = [100 * point.val for point in best if point]
        x = [point.minutes for point in own]
        y = [*heights, *heights[-1:]] or [math.nan]
        (line,) = axes.step([*x, limit], y, where="post", label=recipe)
        line.set(color=colour, marker=marker, markevery=list(range(len(own))))
    axes.set(xscale="log", xlabel="minutes of training, validation included")
    ticks = list_minutes(limit)
    axes.set(ylabel="validation accuracy (%)", xticks=ticks, xticklabels=map(str, ticks))
    axes.minorticks_off()
    axes.legend(frameon=False)
    return figure
