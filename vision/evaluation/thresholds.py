"""Two classes: how well a probability tells them apart, and what each threshold on it gives."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from vision.evaluation.intervals import bound_shares

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

TINY = 1e-9


@dataclass(frozen=True)
class Ranking:
    """How well a probability ranks the images of one class before those of the other.

    Attributes:
        auc: the area under the ROC curve, with its interval.
        precision: the average precision, the area under the precision-recall curve.
        roc: false positive rate and true positive rate.
        recall: recall and precision.
    """

    auc: float
    low: float
    high: float
    precision: float
    roc: tuple[np.ndarray, np.ndarray]
    recall: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Share:
    value: float | None  # None where there is no case
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """What one threshold gives: images at or above it are taken for the positive class."""

    threshold: float
    n_taken: int
    precision: Share
    recall: Share
    specificity: Share
    accuracy: Share


def rank(positive: np.ndarray, probability: np.ndarray, confidence: float) -> Ranking | None:
    """Measure how well a probability tells the positive images from the others.

    Args:
        positive: (n,) bool.
        probability: (n,) of the positive class.

    Returns:
        None where all images are of one class.
    """
    if positive.all() or not positive.any():
        return None
    false, true, _ = roc_curve(positive, probability)
    precision, recall, _ = precision_recall_curve(positive, probability)
    auc = float(roc_auc_score(positive, probability))
    low, high = bound_auc(auc, int(positive.sum()), int((~positive).sum()), confidence)
    average = float(average_precision_score(positive, probability))
    return Ranking(auc, low, high, average, (false, true), (recall, precision))


def bound_auc(
    auc: float, n_positive: int, n_negative: int, confidence: float
) -> tuple[float, float]:
    """Return the interval of an area under the ROC curve.

    Those areas from which `auc` is no further than chance takes it, where they are true: Newcombe,
    "Confidence intervals for an effect size measure based on the Mann-Whitney statistic" (2006),
    part 2, method 5. It has a width also where every image is ranked right.
    """
    z2 = float(norm.ppf((1 + confidence) / 2)) ** 2
    half = (n_positive + n_negative) / 2 - 1

    def exceed(area: float) -> float:
        spread = 1 + half * ((1 - area) / (2 - area) + area / (1 + area))
        variance = area * (1 - area) * spread / (n_positive * n_negative)
        return (area - auc) ** 2 - z2 * variance

    inside = min(max(auc, TINY), 1 - TINY)  # at 0 and 1 nothing is left to chance: another root
    low = 0.0 if auc == 0 else float(brentq(exceed, 0, inside))
    high = 1.0 if auc == 1 else float(brentq(exceed, inside, 1))
    return low, high


def try_thresholds(positive: np.ndarray, probability: np.ndarray, confidence: float) -> list[Row]:
    """Return what each of THRESHOLDS gives; see `rank` for the arguments."""
    rows = []
    for threshold in THRESHOLDS:
        taken = probability >= threshold
        hits, n_taken = int((taken & positive).sum()), int(taken.sum())
        spared = int((~taken & ~positive).sum())
        cases = {
            "precision": (hits, n_taken),
            "recall": (hits, int(positive.sum())),
            "specificity": (spared, int((~positive).sum())),
            "accuracy": (hits + spared, len(positive)),
        }
        shares = {name: _share(*case, confidence) for name, case in cases.items()}
        rows.append(Row(threshold, n_taken, **shares))
    return rows


def _share(hits: int, n: int, confidence: float) -> Share:
    low, high = bound_shares(hits, n, confidence)
    return Share(hits / n if n else None, float(low), float(high))
