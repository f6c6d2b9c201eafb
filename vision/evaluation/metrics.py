"""Evaluate logits: loss, confusions, and accuracy, precision, recall and F1 with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import log_softmax
from sklearn.metrics import confusion_matrix

from vision.evaluation.intervals import bound_share, bound_shares
from vision.evaluation.probabilities import split
from vision.schema.evaluate import EvaluateParams

SCORES = ("precision", "recall", "f1")


def measure(
    logits: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], params: EvaluateParams
) -> dict[str, Any]:
    """Return the figures of a model.

    Args:
        logits: (n, classes) float32.
        labels: (n,) indices into `classes`.

    Returns:
        Accuracies, precision, recall and F1 as fractions, with low and high; loss in nats per
        image; the rows of `confusion` are the true classes. A score without cases is None: all
        three of a class without images, the precision of one that is never predicted. The averages
        are over the classes that have the score, and have no interval.
    """
    right = logits.argmax(1) == labels
    low, high = bound_share(int(right.sum()), len(right), params.confidence)
    confusion = confusion_matrix(labels, logits.argmax(1), labels=range(len(classes)))
    scores = score_classes(confusion, params.confidence)
    return {
        "n": len(labels),
        "accuracy": float(right.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "confidence": params.confidence,
        "loss": measure_loss(logits, labels),
        "per_class": dict(zip(classes, scores, strict=True)),
        "macro_avg": average_scores(scores, [1.0] * len(scores)),
        "weighted_avg": average_scores(scores, [score["support"] for score in scores]),
        "confusion": confusion.tolist(),
    }


def score_classes(confusion: np.ndarray, confidence: float) -> list[dict[str, Any]]:
    """Return precision, recall and F1 of each class, with low and high, and its number of images.

    Precision is a share of the predictions of the class, recall one of its images. F1 is
    2J / (1 + J) of the Jaccard index J, the share of those that are both among those that are
    either; so are its bounds of those of J.

    Args:
        confusion: (classes, classes) counts; rows are the true classes.
    """
    true = confusion.sum(1)
    columns = bound_scores(confusion.diagonal(), true, confusion.sum(0), confidence)
    return [
        {name: _clean(values[i]) for name, values in columns.items()} | {"support": int(n)}
        for i, n in enumerate(true)
    ]


def bound_scores(
    right: np.ndarray, true: np.ndarray, predicted: np.ndarray, confidence: float
) -> dict[str, np.ndarray]:
    """Return precision, recall and F1 with low and high, NaN where there is no case.

    Args:
        right, true, predicted: counts, by class: images of it that are found, all that are of it,
            all that are predicted to be.
    """
    columns: dict[str, np.ndarray] = {}
    for name, n in zip(SCORES, (predicted, true, true + predicted - right), strict=True):
        bounds = (right / np.maximum(n, 1), *bound_shares(right, n, confidence))
        for end, values in zip(("", "_low", "_high"), bounds, strict=True):
            scores = 2 * values / (1 + values) if name == "f1" else values
            columns[name + end] = np.where((n > 0) & (true > 0), scores, np.nan)
    return columns


def average_scores(scores: list[dict[str, Any]], weights: Sequence[float]) -> dict[str, Any]:
    """Return each score's mean over the classes that have it, and the number of all images."""
    averages: dict[str, Any] = {"support": sum(score["support"] for score in scores)}
    for name in SCORES:
        values = np.array([score[name] for score in scores], np.float64)  # NaN for None
        kept = ~np.isnan(values)
        shares = np.asarray(weights, np.float64)[kept]
        averages[name] = float(np.average(values[kept], weights=shares)) if kept.any() else None
    return averages


def measure_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy in nats."""
    losses = [
        -log_softmax(logits[piece].astype(np.float64), axis=1)[
            np.arange(len(labels[piece])), labels[piece]
        ]
        for piece in split(logits)
    ]
    return float(np.concatenate(losses).mean())


def _clean(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
