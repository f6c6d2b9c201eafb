"""Intervals of shares, of differences of shares, and of means over seeds; none draws samples.

tests/vision/evaluation/test_coverage.py simulates how often each covers the truth.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, norm, sem, t


@dataclass(frozen=True)
class Mean:
    """A share, or the mean of one over several trainings, with its interval."""

    value: float
    low: float
    high: float


def bound_shares(
    hits: np.ndarray | int, n: np.ndarray | int, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the intervals of shares: Wilson's score interval, mended for shares near 0 and 1.

    Wilson (1927) covers too seldom where all cases but one or two agree; there the bound next to
    the agreement is that of a Poisson distribution: Brown, Cai and DasGupta, "Interval Estimation
    for a Binomial Proportion" (2001), section 4.1.1.

    Args:
        hits, n: of each share, in arrays of one shape; `hits` of `n` cases.

    Returns:
        Low and high, float64 in 0..1; 0 and 1 where there is no case.
    """
    hits, n = np.asarray(hits, np.float64), np.asarray(n, np.float64)
    z2 = float(norm.ppf((1 + confidence) / 2)) ** 2
    cases = np.maximum(n, 1)
    centre = (hits + z2 / 2) / (cases + z2)
    margin = np.sqrt(z2 * (hits * (cases - hits) / cases + z2 / 4)) / (cases + z2)
    low = _mend(np.maximum(centre - margin, 0), hits, cases, confidence)
    high = 1 - _mend(np.maximum(1 - centre - margin, 0), cases - hits, cases, confidence)
    return np.where(n > 0, low, 0.0), np.where(n > 0, high, 1.0)


def _mend(low: np.ndarray, hits: np.ndarray, n: np.ndarray, confidence: float) -> np.ndarray:
    """Return the lower bounds, Poisson's where there are one or two hits (three, of 51 cases)."""
    few = (hits >= 1) & (hits <= np.where(n > 50, 3, 2))
    rare = chi2.ppf(1 - confidence, 2 * np.maximum(hits, 1)) / 2 / n
    return np.where(hits > 0, np.where(few, np.minimum(low, rare), low), 0.0)


def bound_share(hits: int, n: int, confidence: float) -> tuple[float, float]:
    """Return the interval of one share; see `bound_shares`."""
    low, high = bound_shares(hits, n, confidence)
    return float(low), float(high)


def bound_difference(
    only_first: np.ndarray | int, only_second: np.ndarray | int, n: int, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of a difference between two shares of the same cases.

    Bonett and Price, "Adjusted Wald Confidence Interval for a Difference of Binomial Proportions
    Based on Paired Data" (2012): Wald's, after a case is added to each of the two counts.

    Args:
        only_first, only_second: cases that one of the two alone has.
        n: all cases.

    Returns:
        Low and high of the first share less the second, float64 in -1..1.
    """
    first, second = (
        (np.asarray(count, np.float64) + 1) / (n + 2) for count in (only_first, only_second)
    )
    centre = first - second
    margin = norm.ppf((1 + confidence) / 2) * np.sqrt((first + second - centre**2) / (n + 2))
    return np.maximum(centre - margin, -1), np.minimum(centre + margin, 1)


def bound_mean(shares: Sequence[float], n: int | None, confidence: float) -> Mean:
    """Return the mean of two shares or more with its interval; see `bound_means`."""
    value, low, high = bound_means(np.array(shares), n, confidence)
    return Mean(float(value), float(low), float(high))


def bound_means(
    shares: np.ndarray, n: int | None, confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means over trainings with Student's t-intervals, cut off at 0 and 1.

    Shares of few cases are often equal by chance, and their spread then says nothing: a bound is no
    nearer than a Poisson distribution allows where none of all cases is a miss.

    Args:
        shares: (trainings, ...).
        n: the cases of each share; None where they are no shares of cases.

    Returns:
        Mean, low and high, (...).
    """
    count, mean = len(shares), shares.mean(0)
    least = math.log(2 / (1 - confidence)) / (n * count) if n else 0.0
    spread = sem(shares) * float(t.ppf((1 + confidence) / 2, count - 1))
    margin = np.maximum(spread, least)
    return mean, np.maximum(mean - margin, 0), np.minimum(mean + margin, 1)
