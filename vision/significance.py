"""Whether one model is better than another, from the images that only one of them gets right."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
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


def compare_pairs(right: Mapping[str, np.ndarray]) -> list[Pair]:
    """Compare every two models.

    Args:
        right: by model, (n,) bool: which of the same images it gets right.
    """
    counted = [_count(right, a, b) for a, b in combinations(right, 2)]
    if not counted:
        return []
    raw = [mcnemar([[0, first], [second, 0]], exact=True).pvalue for _, _, first, second in counted]
    corrected = multipletests(raw, method="holm")[1]
    return [Pair(*counts, float(p)) for counts, p in zip(counted, corrected, strict=True)]


def _count(right: Mapping[str, np.ndarray], a: str, b: str) -> tuple[str, str, int, int]:
    only_a, only_b = (int(np.sum(right[x] & ~right[y])) for x, y in ((a, b), (b, a)))
    return (a, b, only_a, only_b) if only_a >= only_b else (b, a, only_b, only_a)
