"""Whether one model is better than another on the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from vision.evaluation.intervals import bound_difference

SIGNIFICANT = 0.05  # p below it


@dataclass(frozen=True)
class Pair:
    """Two models on the same images; `p` is McNemar's, exact, corrected for all pairs by Holm."""

    better: str  # the one with more images right; the first, if they are level
    other: str
    only_better: int  # images that it alone gets right
    only_other: int
    n: int  # images
    p: float

    def bound_lead(self, confidence: float) -> tuple[float, float]:
        """Return the interval of the difference of the two accuracies, of this pair alone."""
        low, high = bound_difference(self.only_better, self.only_other, self.n, confidence)
        return float(low), float(high)

    @property
    def is_significant(self) -> bool:
        return self.p < SIGNIFICANT


def compare_pairs(right: Mapping[str, np.ndarray]) -> list[Pair]:
    """Compare every two models.

    Args:
        right: by model, (n,) bool: which of the same images it gets right.
    """
    counted = [_count(right, a, b) for a, b in combinations(right, 2)]
    n = len(next(iter(right.values()), ()))
    raw = [mcnemar([[0, first], [second, 0]], exact=True).pvalue for _, _, first, second in counted]
    return [Pair(*counts, n, p) for counts, p in zip(counted, correct(raw), strict=True)]


def correct(raw: Sequence[float]) -> list[float]:
    """Return p values corrected for their number, after Holm."""
    return [float(p) for p in multipletests(raw, method="holm")[1]] if raw else []


def _count(right: Mapping[str, np.ndarray], a: str, b: str) -> tuple[str, str, int, int]:
    only_a, only_b = (int(np.sum(right[x] & ~right[y])) for x, y in ((a, b), (b, a)))
    return (a, b, only_a, only_b) if only_a >= only_b else (b, a, only_b, only_a)
