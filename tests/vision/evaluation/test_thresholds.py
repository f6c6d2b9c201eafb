import numpy as np
import pytest
from scipy.stats import norm

from vision.evaluation.thresholds import bound_auc, rank, try_thresholds


def test_a_threshold_by_hand() -> None:
    positive = np.array([True, True, False, False])
    rows = {
        row.threshold: row for row in try_thresholds(positive, np.array([0.9, 0.4, 0.6, 0.1]), 0.95)
    }
    half = rows[0.5]
    assert half.n_taken == 2
    shares = (half.precision, half.recall, half.specificity, half.accuracy)
    assert [share.value for share in shares] == [0.5] * 4
    assert rows[0.95].n_taken == 0
    assert rows[0.95].precision.value is None
    assert rows[0.05].recall.value == 1.0


def test_areas_by_hand() -> None:
    """Of the four pairs, three are ranked right."""
    positive = np.array([True, True, False, False])
    found = rank(positive, np.array([0.9, 0.4, 0.6, 0.1]), 0.95)
    assert found is not None
    assert found.auc == 0.75
    assert found.precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert rank(np.ones(4, bool), np.ones(4), 0.95) is None


def test_a_perfect_ranking_has_an_interval() -> None:
    low, high = bound_auc(1.0, 20, 20, 0.95)
    assert 0.8 < low < 0.98
    assert high == 1.0


@pytest.mark.parametrize("n", [10, 36, 100, 1000])
@pytest.mark.parametrize("auc", [0.5, 0.9, 0.97, 0.99])
def test_the_interval_of_an_area_covers_it(n: int, auc: float) -> None:
    """400 sets of n images, half of them positive, whose scores are normal."""
    rng = np.random.default_rng(0)
    half, sets = n // 2, 400
    positive = rng.normal(2**0.5 * norm.ppf(auc), 1, (sets, half))
    ranks = np.argsort(np.argsort(np.hstack([positive, rng.normal(size=(sets, half))])))
    areas = (ranks[:, :half].sum(1) - half * (half - 1) / 2) / half**2
    bounds = {area: bound_auc(area, half, half, 0.95) for area in map(float, areas)}
    inside = [bounds[area][0] <= auc <= bounds[area][1] for area in map(float, areas)]
    assert np.mean(inside) >= 0.92
