import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from vision.evaluation.intervals import bound_difference, bound_mean, bound_share, bound_shares


def test_the_interval_of_a_share_is_wilsons_but_next_to_the_ends() -> None:
    hits = np.array([0, 4, 10, 32, 36])
    low, high = bound_shares(hits, 36, 0.95)
    wilsons = proportion_confint(hits, 36, method="wilson")
    assert np.allclose([low, high], wilsons)


def test_one_miss_leaves_more_open_than_wilsons() -> None:
    """Poisson's: 0.0513 misses of 10, as exp(-0.0513) is 95 %."""
    assert bound_share(9, 10, 0.95)[1] == pytest.approx(1 - 0.0513 / 10, abs=1e-5)
    assert bound_share(1, 10, 0.95)[0] == pytest.approx(0.0513 / 10, abs=1e-5)


@pytest.mark.parametrize("n", [1, 3, 10, 30, 36, 51, 1000])
def test_more_hits_never_move_a_bound_down(n: int) -> None:
    low, high = bound_shares(np.arange(n + 1), n, 0.95)
    assert (np.diff(low) > 0).all()
    assert (np.diff(high) > 0).all()
    shares = np.arange(n + 1) / n
    assert (low <= shares).all()
    assert (shares <= high).all()


def test_all_or_none_of_a_few_leave_much_open() -> None:
    assert bound_share(3, 3, 0.95) == (pytest.approx(0.4385, abs=1e-4), 1.0)
    assert bound_share(0, 3, 0.95) == (0.0, pytest.approx(0.5615, abs=1e-4))
    assert bound_share(36, 36, 0.95)[0] == pytest.approx(36 / (36 + 1.959964**2))


def test_no_case_leaves_all_open() -> None:
    assert bound_share(0, 0, 0.95) == (0.0, 1.0)


def test_the_interval_of_a_difference_is_that_computed_by_hand() -> None:
    """14 against 4 of 98: (15 - 5) / 100, and 1.96 * sqrt((0.2 - 0.01) / 100)."""
    low, high = bound_difference(14, 4, 98, 0.95)
    assert (low, high) == (pytest.approx(0.01457, abs=1e-5), pytest.approx(0.18543, abs=1e-5))
    assert bound_difference(4, 14, 98, 0.95) == (-high, -low)
    assert bound_difference(5, 0, 5, 0.95)[1] == 1.0


def test_the_interval_of_a_mean_is_students() -> None:
    """Standard deviation 0.02, three seeds, and 4.3027 from a table of t with 2 degrees."""
    mean = bound_mean([0.80, 0.84, 0.82], 1000, 0.95)
    assert mean.value == pytest.approx(0.82)
    assert mean.high - mean.value == pytest.approx(4.3027 * 0.02 / 3**0.5, rel=1e-4)
    assert mean.value - mean.low == pytest.approx(mean.high - mean.value)


def test_the_interval_of_a_mean_stays_between_none_and_all() -> None:
    mean = bound_mean([0.5, 0.9], 10, 0.95)
    assert (mean.low, mean.high) == (0.0, 1.0)


def test_equal_seeds_leave_open_what_their_images_do() -> None:
    """As if none of 3 * 100 images were wrong: Poisson allows 3.69 of them."""
    mean = bound_mean([1.0, 1.0, 1.0], 100, 0.95)
    assert mean.low == pytest.approx(1 - 3.689 / 300, abs=1e-5)
    assert bound_mean([1.0, 1.0], None, 0.95).low == 1.0
