import numpy as np
import pytest

from vision.evaluation.significance import compare_pairs


def make_right(*ranges: range) -> np.ndarray:
    right = np.zeros(40, bool)
    for positions in ranges:
        right[list(positions)] = True
    return right


def test_the_images_that_only_one_gets_right_are_counted() -> None:
    [pair] = compare_pairs({"a": make_right(range(5)), "b": make_right(range(3, 20))})
    assert (pair.better, pair.other) == ("b", "a")
    assert (pair.only_better, pair.only_other) == (15, 3)


def test_p_is_that_of_a_fair_coin() -> None:
    """5 against 1: the six coins fall so unevenly in 2 * (1 + 6) of 64 cases."""
    [pair] = compare_pairs({"a": make_right(range(5)), "b": make_right(range(10, 11))})
    assert pair.p == pytest.approx(2 * (1 + 6) / 64)


def test_several_pairs_are_corrected_after_holm() -> None:
    """a against b: 10 to 0, against c: 9 to 0, b against c: 0 to 1."""
    models = {"a": make_right(range(10)), "b": make_right(), "c": make_right(range(1))}
    found = {frozenset((pair.better, pair.other)): pair.p for pair in compare_pairs(models)}
    assert found == {
        frozenset("ab"): pytest.approx(3 * 2 / 2**10),
        frozenset("ac"): pytest.approx(2 * 2 / 2**9),
        frozenset("bc"): pytest.approx(1.0),
    }


def test_equal_models_do_not_differ() -> None:
    [pair] = compare_pairs({"a": make_right(range(5)), "b": make_right(range(5))})
    assert (pair.only_better, pair.only_other, pair.p) == (0, 0, 1.0)


def test_one_model_has_no_pairs() -> None:
    assert compare_pairs({"a": make_right(range(5))}) == []


def test_a_lead_has_the_interval_of_its_pair() -> None:
    [pair] = compare_pairs({"a": make_right(range(20)), "b": make_right(range(18, 24))})
    low, high = pair.bound_lead(0.95)
    assert 0 < low < (18 - 4) / 40 < high
    assert pair.is_significant
