"""Judge logits: accuracy with an interval, loss, precision, recall and F1, the confusion matrix."""

from typing import Any

import numpy as np
from scipy.special import log_softmax
from scipy.stats import binomtest, bootstrap
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from vision.schema.evaluate import EvaluateParams

RESAMPLES_AT_ONCE = 100  # of 10,000 images: 8 MB


def measure(
    logits: np.ndarray,
    labels: np.ndarray,
    classes: tuple[str, ...],
    params: EvaluateParams,
    seed: int,
) -> dict[str, Any]:
    """Return the figures that a model is judged by.

    Args:
        logits: (n, classes) float32.
        labels: (n,) indices into `classes`.
        seed: of the bootstrap.

    Returns:
        Accuracies, precision, recall and F1 as fractions; loss in nats per image; the rows of
        `confusion` are the true classes. A ratio without cases, such as the precision of a class
        that is never predicted, is 0. The averages are over the classes that have images.
    """
    predicted = logits.argmax(1)
    right = predicted == labels
    low, high = bound_accuracy(right, params, seed)
    every = range(len(classes))
    confusion = confusion_matrix(labels, predicted, labels=every)
    bounds = bound_scores(confusion, params, seed)
    scores = [
        score | bound
        for score, bound in zip(_score_classes(labels, predicted, every), bounds, strict=True)
    ]
    return {
        "n": len(labels),
        "accuracy": float(right.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "confidence": params.confidence,
        "loss": measure_loss(logits, labels),
        "per_class": dict(zip(classes, scores, strict=True)),
        "macro_avg": _average_scores(labels, predicted, "macro"),
        "weighted_avg": _average_scores(labels, predicted, "weighted"),
        "confusion": confusion.tolist(),
    }


def bound_accuracy(right: np.ndarray, params: EvaluateParams, seed: int) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean of `right`, (n,) bool.

    Where all or none are right every resample is alike, so Wilson's interval stands in.
    """
    if right.all() or not right.any():
        test = binomtest(int(right.sum()), len(right))
        wilson = test.proportion_ci(params.confidence, method="wilson")
        return float(wilson.low), float(wilson.high)
    interval = bootstrap(
        (right.astype(np.float64),),
        np.mean,
        n_resamples=params.bootstrap_resamples,
        batch=RESAMPLES_AT_ONCE,
        confidence_level=params.confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def bound_scores(
    confusion: np.ndarray, params: EvaluateParams, seed: int
) -> list[dict[str, float]]:
    """Return, by class, percentile bootstrap intervals of precision, recall and F1.

    Images are drawn anew with their true and predicted class: the cells of the matrix are
    multinomial.

    Args:
        confusion: (classes, classes) counts; rows are the true classes.
    """
    n, side = confusion.sum(), len(confusion)
    rng = np.random.default_rng(seed)
    shares = confusion.ravel() / n
    drawn: list[np.ndarray] = []
    for start in range(0, params.bootstrap_resamples, RESAMPLES_AT_ONCE):
        count = min(RESAMPLES_AT_ONCE, params.bootstrap_resamples - start)
        cells = rng.multinomial(n, shares, size=count).reshape(count, side, side)
        right, true, predicted = cells.diagonal(0, 1, 2), cells.sum(2), cells.sum(1)
        parts = (predicted, true, (true + predicted) / 2)
        drawn.append(np.stack([right / np.maximum(part, 0.5) for part in parts]))
    tail = (1 - params.confidence) / 2
    low, high = np.quantile(np.concatenate(drawn, axis=1), [tail, 1 - tail], axis=1)
    return [
        {
            f"{name}_{end}": float(bound[row, column])
            for row, name in enumerate(("precision", "recall", "f1"))
            for end, bound in (("low", low), ("high", high))
        }
        for column in range(side)
    ]


def measure_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy in nats."""
    log_probabilities = log_softmax(logits.astype(np.float64), axis=1)
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())


def _score_classes(
    labels: np.ndarray, predicted: np.ndarray, every: range
) -> list[dict[str, float | int]]:
    columns = precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)
    return [_name_scores(*scores) for scores in zip(*columns, strict=True)]


def _average_scores(
    labels: np.ndarray, predicted: np.ndarray, average: str
) -> dict[str, float | int]:
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predicted, labels=np.unique(labels), average=average, zero_division=0
    )
    return _name_scores(precision, recall, f1, len(labels))


def _name_scores(
    precision: float, recall: float, f1: float, support: int
) -> dict[str, float | int]:
    return {
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "support": int(support),
    }
