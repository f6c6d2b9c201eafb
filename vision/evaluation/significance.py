"""Whether one model is better than another, and how far one seed of a recipe is from the next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests


@dataclass(frozen=True)
class Pair:
    """Two models on the same images; `p` is McNemar's, exact, corrected for all pairs by Holm."""

    better: str  # the one with more images right; the first, if they are level
    other: str
    only_better: int  # images that it alone gets right
    only_other: int
    p: float


@dataclass(frozen=True)
class Mean:
    """The mean of a share over several trainings, with its interval."""

    value: float
    low: float
    high: float


def bound_mean(shares: Sequence[float], confidence: float) -> Mean:
    """Return the mean of two shares or more with Student's t-interval, cut off at 0 and 1."""
    mean, error = float(np.mean(shares)), float(stats.sem(shares))
    margin = error * float(stats.t.ppf((1 + confidence) / 2, len(shares) - 1))
    return Mean(mean, max(0.0, mean - margin), min(1.0, mean + margin))


def compare_pairs(right: Mapping[str, np.ndarray]) -> list[Pair]:
    """Compare every two models.

    Args:
        right: by model, (n,) bool: which of the same images it gets right.
    """
    counted = [_count(right, a, b) for a, b in combinations(right, 2)]
    raw = [mcnemar([[0, first], [second, 0]], exact=True).pvalue for _, _, first, second in counted]
    return [Pair(*counts, p) for counts, p in zip(counted, correct(raw), strict=True)]


def correct(raw: Sequence[float]) -> list[float]:
    """Return p values corrected for their number, after Holm."""
    return [float(p) for p in multipletests(raw, method="holm")[1]] if raw else []


def _count(right: Mapping[str, np.ndarray], a: str, b: str) -> tuple[str, str, int, int]:
    only_a, only_b = (int(np.sum(right[x] & ~right[y])) for x, y in ((a, b), (b, a)))
    return (a, b, only_a, only_b) if only_a >= only_b else (b, a, only_b, only_a)
