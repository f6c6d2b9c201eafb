"""The numbers behind the page's charts, which charts.js draws.

A chart is {"mark", "x", "y", "views"}. `mark` is "line", "dot" (a row for each name of `y`), "bar"
(stacked) or "image". An axis is {"label"}, and may have "min", "max", "whole" (whole numbers only),
"bare" (no numbers) and, for rows, "names". Each of the views, of which one is shown at a time, is
{"name", "series"}; a series is {"name", "kind", "colour", "points"}, and may be "dashed", "dotted"
or "hollow". A point is [x, y], for dots also the ends of an interval, for images also the number of
the tile. What can be switched off are the names and the kinds. With "total", bars can be shown as
shares of it. A view may have axes of its own.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vision.evaluation.calibration import N_BINS, trace_coverage
from vision.evaluation.thresholds import Ranking
from vision.report.paper import find_claim
from vision.report.runs import Results, Run

MAX_POINTS = 200  # of a long curve
FILLED = 7  # series of images that differ by colour; as many more are rings

Chart = dict[str, Any]


def chart_curves(results: Results, quantity: str) -> Chart:
    """Show `accuracy` or `loss` by epoch."""
    scale, unit = (100, "%") if quantity == "accuracy" else (1, "nats per image")
    series = []
    for colour, run in enumerate(results.runs):  # each has its colour in every chart
        if run.members:
            continue
        for subset, kind in (("train", "training"), ("val", "validation")):
            values = scale * run.history[f"{subset}_{quantity}"].to_numpy()
            points = _pair(run.history.epoch.to_numpy(), values)
            series.append(_line(run.label, colour, points, kind, dashed=subset == "train"))
    y = {"label": f"{quantity} ({unit})"}
    return _make("line", {"label": "epoch", "whole": True}, y, {"": series})


def chart_comparison(results: Results) -> Chart:
    """Show test accuracy with its interval, validation accuracy, and what the paper claims."""
    runs = results.runs
    tested = [
        [*_round([100 * run.metrics["accuracy"]]), row, *_round(_find_interval(run))]
        for row, run in enumerate(runs)
    ]
    val = _pair([100 * run.metrics["val_accuracy"] for run in runs], range(len(runs)))
    series = [
        _line("test", 0, tested, "test"),
        _line("validation", 0, val, "validation", hollow=True),
    ]
    if results.images.are_the_papers:
        for subset, kind in (("test", "paper's test"), ("val", "paper's validation")):
            claims = [(find_claim(run.name, subset), row) for row, run in enumerate(runs)]
            points = [[100 * claim, row] for claim, row in claims if claim is not None]
            if points:
                series.append(_line(kind, 1, points, kind, hollow=subset == "val"))
    y = {"label": "", "names": [run.label for run in runs]}
    return _make("dot", {"label": "accuracy (%)"}, y, {"": series})


def _find_interval(run: Run) -> list[float]:
    return [100 * run.metrics[f"accuracy_{end}"] for end in ("low", "high")]


def chart_f1(results: Results, order: Sequence[int]) -> Chart:
    """Show F1 by class, from the first of `order` down."""
    series = []
    for colour, run in enumerate(results.runs):
        scores = [run.metrics["per_class"][label]["f1"] for label in order]
        points = [
            [round(100 * score, 2), row] for row, score in enumerate(scores) if score is not None
        ]
        series.append(_line(run.label, colour, points))
    y = {"label": "", "names": [results.images.classes[label] for label in order]}
    return _make("dot", {"label": "F1 (%)"}, y, {"": series})


def chart_calibration(results: Results, fewest: int) -> Chart:
    """Show accuracy by confidence, before and after temperature scaling.

    Args:
        fewest: images of a bin that is shown.
    """
    views = {}
    for name in ("as trained", "temperature scaled"):
        ideal = _line("perfectly calibrated", -1, [[0, 0], [100, 100]], dotted=True)
        views[name] = [ideal]
        for colour, run in enumerate(results.runs):
            temperature = 1.0 if name == "as trained" else results.find_temperature(run)
            found = results.calibrate(run, temperature)
            full = found.counts >= fewest
            points = _pair(100 * found.confidence[full], 100 * found.accuracy[full])
            views[name].append(_line(run.label, colour, points))
    ends = {"min": 0, "max": 100}
    x, y = {"label": "confidence (%)"} | ends, {"label": "accuracy (%)"} | ends
    return _make("line", x, y, views)


def chart_confidence(results: Results) -> Chart:
    """Count right and wrong predictions by their confidence, a view for each model."""
    edges = np.linspace(0, 100, N_BINS + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    views = {}
    for run in results.runs:
        scores = results.score(run)
        parts = (scores.right, ~scores.right)
        counts = [np.histogram(100 * scores.confidence[part], edges)[0] for part in parts]
        views[run.label] = [
            _line(kind, colour, _pair(middles, count), kind)
            for colour, (kind, count) in enumerate(zip(("right", "wrong"), counts, strict=True))
        ]
    x = {"label": "confidence (%)", "min": 0, "max": 100, "width": 100 / N_BINS}
    chart = _make("bar", x, {"label": "test images", "min": 0}, views)
    return chart | {"total": len(results.images.test_labels)}


def chart_coverage(results: Results) -> Chart:
    """Show the accuracy on the images that a model is surest of, by their share of all."""
    series = []
    for colour, run in enumerate(results.runs):
        coverage, accuracy = trace_coverage(results.score(run))
        kept = np.unique(np.linspace(0, len(coverage) - 1, MAX_POINTS).astype(int))
        points = _pair(100 * coverage[kept], 100 * accuracy[kept])
        series.append(_line(run.label, colour, points, plain=True))
    x = {"label": "share of the images that are decided (%)", "min": 0, "max": 100}
    return _make("line", x, {"label": "accuracy on them (%)"}, {"": series})


def chart_robustness(results: Results) -> Chart:
    """Show accuracy by the severity of corruption, a view for the mean and one for each kind."""
    kinds = list(results.runs[0].robustness["accuracies"])
    views: dict[str, list[Chart]] = {}
    for name in ("mean of all kinds", *kinds):
        views[name] = []
        for colour, run in enumerate(results.runs):
            chosen = kinds if name not in kinds else [name]
            values = np.mean([run.robustness["accuracies"][kind] for kind in chosen], axis=0)
            found = [run.robustness["clean"], *values]
            points = _pair(range(len(found)), 100 * np.array(found))
            views[name].append(_line(run.label, colour, points))
    y = {"label": "accuracy (%)", "min": 0, "max": 100}
    return _make("line", {"label": "severity", "whole": True}, y, views)


def chart_thresholds(results: Results, ranked: dict[str, Ranking]) -> Chart:
    """Show ROC and precision-recall curves of the second of two classes."""
    ends = {"min": -1, "max": 101}
    share = 100 * float((results.images.test_labels == 1).mean())
    curves: dict[str, tuple[str, str, str, list[list[float]]]] = {
        "ROC": ("roc", "false positive rate (%)", "true positive rate (%)", [[0, 0], [100, 100]]),
        "precision and recall": (
            "recall",
            "recall (%)",
            "precision (%)",
            [[0, share], [100, share]],
        ),
    }
    views = []
    for name, (curve, x, y, guess) in curves.items():
        series = [_line("guessing", -1, guess, dotted=True)]
        for colour, run in enumerate(results.runs):
            across, up = getattr(ranked[run.name], curve)
            kept = np.unique(np.linspace(0, len(across) - 1, MAX_POINTS).astype(int))
            x_steps, y_steps = np.repeat(across[kept], 2)[1:], np.repeat(up[kept], 2)[:-1]
            points = _pair(100 * x_steps, 100 * y_steps)
            series.append(_line(run.label, colour, points, plain=True))
        axes = {"x": {"label": x} | ends, "y": {"label": y} | ends}
        views.append({"name": name, "series": series} | axes)
    return {"mark": "line", "x": views[0]["x"], "y": views[0]["y"], "views": views}


def chart_map(results: Results) -> Chart:
    """Show each image that the best model's map has, by its class if they are few, and if right."""
    _, places, labels, right = results.mapped
    groups = {"right or wrong": {"right": right, "wrong": ~right}}
    if len(results.images.classes) <= 2 * FILLED:
        classes = enumerate(results.images.classes)
        groups = {"class": {name: labels == label for label, name in classes}} | groups
    views: dict[str, list[Chart]] = {}
    for view, members in groups.items():
        views[view] = [
            _line(name, number, _place(places, mask), name, hollow=number >= FILLED)
            for number, (name, mask) in enumerate(members.items())
        ]
    ends = {"label": "", "min": -0.03, "max": 1.03, "bare": True}
    return _make("image", ends, ends, views)


def _place(places: np.ndarray, mask: np.ndarray) -> list[list[float]]:
    tiles = np.flatnonzero(mask)
    pairs = zip(_pair(*places[tiles].T), tiles.tolist(), strict=True)
    return [[*pair, tile] for pair, tile in pairs]


def _make(mark: str, x: Chart, y: Chart, views: dict[str, list[Chart]]) -> Chart:
    shown = [{"name": name, "series": series} for name, series in views.items()]
    return {"mark": mark, "x": x, "y": y, "views": shown}


def _line(
    name: str, colour: int, points: list[list[float]], kind: str = "", **looks: bool
) -> Chart:
    chosen = {look: True for look, is_so in looks.items() if is_so}
    return {"name": name, "kind": kind, "colour": colour, "points": points} | chosen


def _pair(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> list[list[float]]:
    return [list(pair) for pair in zip(_round(x), _round(y), strict=True)]


def _round(values: Sequence[float] | np.ndarray) -> list[float]:
    rounded: list[float] = np.round(np.asarray(values, np.float64), 3).tolist()
    return rounded
