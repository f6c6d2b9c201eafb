"""Every interval of the report covers the truth in 92 % of simulated test sets, or more."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from vision.evaluation.intervals import bound_difference, bound_means, bound_shares
from vision.evaluation.metrics import bound_scores

SETS = 4000  # simulated test sets: a share of 95 % is known to 0.3 points
CONFIDENCE, LEAST = 0.95, 0.92
SIZES, TRUTHS = (10, 36, 100, 1000), (0.5, 0.9, 0.97, 0.99)
SETTINGS = [*product(SIZES, TRUTHS)]

Bounds = tuple[np.ndarray, np.ndarray]


def cover(bounds: Bounds, truth: float) -> float:
    low, high = bounds
    return float(np.mean((low <= truth) & (truth <= high)))


def simulate_accuracy(rng: np.random.Generator, n: int, truth: float) -> float:
    return cover(bound_shares(rng.binomial(n, truth, SETS), n, CONFIDENCE), truth)


def simulate_score(rng: np.random.Generator, n: int, truth: float, key: str) -> float:
    """One class of `n` images among others; recall, precision and F1 are all `truth`."""
    found = rng.binomial(n, truth, SETS)
    taken = rng.binomial(10 * n, (1 - truth) / 10, SETS)  # others' images that are taken for it
    scores = bound_scores(found, np.full(SETS, n), found + taken, CONFIDENCE)
    known = ~np.isnan(scores[key])
    return cover((scores[f"{key}_low"][known], scores[f"{key}_high"][known]), truth)


def simulate_seeds(rng: np.random.Generator, n: int, truth: float, trainings: int) -> float:
    shares = rng.binomial(n, truth, (trainings, SETS)) / n
    return cover(bound_means(shares, n, CONFIDENCE)[1:], truth)


def simulate_difference(
    rng: np.random.Generator, n: int, truth: float, other: float, likeness: float
) -> float:
    """Two models on the same images: likeness 0 is independence, 1 as alike as can be."""
    independent, alike = truth * other, min(truth, other)
    both = independent + likeness * (alike - independent)
    cells = [both, truth - both, other - both, max(0.0, 1 - truth - other + both)]
    counts = rng.multinomial(n, np.array(cells) / sum(cells), SETS)
    return cover(bound_difference(counts[:, 1], counts[:, 2], n, CONFIDENCE), truth - other)


SIMULATIONS: dict[str, tuple[Callable[..., float], list[tuple[object, ...]]]] = {
    "accuracy": (simulate_accuracy, [()]),
    "scores of a class": (simulate_score, [("recall",), ("precision",), ("f1",)]),
    "mean over seeds": (simulate_seeds, [(2,), (3,), (5,), (10,)]),
    "difference": (simulate_difference, [*product(TRUTHS, (0.0, 0.5, 0.9, 1.0))]),
}


@pytest.mark.parametrize("name", SIMULATIONS)
def test_intervals_cover_the_truth(name: str) -> None:
    simulate, variants = SIMULATIONS[name]
    rng = np.random.default_rng(0)
    found = {
        (n, truth, *variant): simulate(rng, n, truth, *variant)
        for (n, truth), variant in product(SETTINGS, variants)
    }
    assert {key: share for key, share in found.items() if share < LEAST} == {}
