"""Two classes: what a threshold on the calibrated probability of one of them gives."""

import numpy as np

from vision.evaluation.thresholds import Ranking, Share, rank, try_thresholds
from vision.report.blocks import Block, Chart, Picture, Section, Table, Text
from vision.report.charts import chart_thresholds
from vision.report.runs import Results, Run

NONE = "\N{EN DASH}"  # where there is no case
HOW = (
    "An image is taken for the positive class where its calibrated probability is at or above the "
    "threshold; 0.5 gives the predictions of the rest of the report. Recall is the share of the "
    "positive images that are found, specificity the share of the others that are left alone. "
    "AUC is the probability that a positive image is ranked before another; its interval is "
    "Newcombe's (2006). Which threshold to take depends on what either error costs, and is best "
    "chosen on other images than these."
)


def build_thresholds(results: Results) -> list[Section]:
    """Show ROC and precision-recall curves and a table of thresholds, where classes are two."""
    ranked = rank_positives(results)
    if not ranked:
        return []
    positive = results.images.classes[1]
    picture = Picture(
        file="roc.png",
        caption=f"ROC and precision-recall curves on the test images; positive is {positive}",
        alt=f"ROC and precision-recall curves of {', '.join(ranked)}; the table has the areas.",
        marks=results.mark(),
    )
    blocks: list[Block] = [
        list_areas(results, ranked),
        Chart(picture, chart_thresholds(results, ranked)),
        list_thresholds(results, results.best),
        Text(HOW),
    ]
    return [Section("Thresholds", blocks)]


def rank_positives(results: Results) -> dict[str, Ranking]:
    """Return how well each model ranks the images of the second class, where classes are two."""
    labels, n_classes = results.images.test_labels, len(results.images.classes)
    if n_classes != 2:
        return {}
    found = {}
    for run in results.runs:
        ranking = rank(labels == 1, get_probability(results, run), run.metrics["confidence"])
        if ranking:
            found[run.name] = ranking
    return found


def get_probability(results: Results, run: Run) -> np.ndarray:
    """Return the calibrated probability of the second of two classes: (n,)."""
    own = results.score(run).of_label
    probability: np.ndarray = np.where(results.images.test_labels == 1, own, 1 - own)
    return probability


def list_areas(results: Results, ranked: dict[str, Ranking]) -> Table:
    negative, positive = results.images.classes
    share = float((results.images.test_labels == 1).mean())
    rows: list[tuple[str, ...]] = []
    for run in results.runs:
        area = ranked[run.name]
        labels = results.images.test_labels == 0
        other = rank(labels, 1 - get_probability(results, run), run.metrics["confidence"])
        precision = NONE if other is None else f"{other.precision:.3f}"
        interval = f"{area.auc:.3f} [{area.low:.3f}, {area.high:.3f}]"
        rows.append((run.label, interval, f"{area.precision:.3f}", precision))
    level = results.runs[0].metrics["confidence"]
    caption = (
        f"Areas under the curves, test images; the AUC with its {100 * level:g} % interval, the "
        f"average precisions without one. Guessing gives an AUC of 0.5 and average precisions of "
        f"{share:.3f} and {1 - share:.3f}"
    )
    header = (
        "Model",
        "AUC (ROC)",
        f"Average precision, {positive}",
        f"Average precision, {negative}",
    )
    return Table(caption, header, rows, results.mark())


def list_thresholds(results: Results, run: Run) -> Table:
    positive = results.images.classes[1]
    labels, level = results.images.test_labels == 1, run.metrics["confidence"]
    rows: list[tuple[str, ...]] = [
        (
            f"{row.threshold:g}",
            f"{row.n_taken:,}",
            *map(_show, (row.precision, row.recall, row.specificity, row.accuracy)),
        )
        for row in try_thresholds(labels, get_probability(results, run), level)
    ]
    header = (
        "Threshold",
        f"Taken for {positive}",
        "Precision %",
        "Recall %",
        "Specificity %",
        "Accuracy %",
    )
    caption = (
        f"{run.label} by threshold on the calibrated probability of {positive}, test images, with "
        f"{100 * level:g} % intervals"
    )
    return Table(caption, header, rows, results.mark(run))


def _show(share: Share) -> str:
    if share.value is None:
        return NONE
    return f"{100 * share.value:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"
