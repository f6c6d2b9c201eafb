import numpy as np
import pytest
from scipy.stats import binom, binomtest

from vision.evaluation.slices import bound_together, find_slices, measure_pixels, measure_sides


def test_the_weakest_slice_comes_first_with_an_interval_for_looking_at_all() -> None:
    right = np.ones(200, bool)
    right[:10] = False
    attributes = {
        "camera": np.array(["a"] * 40 + ["b"] * 150 + [""] * 10),
        "angle": np.arange(200.0),
        "alike": np.zeros(200),
        "id": np.array([f"n{i}" for i in range(200)]),
    }
    found = find_slices(attributes, right, 0.95)
    assert len(found) == 6  # two cameras, four quarters of the angle
    first = found[0]
    assert (first.attribute, first.value, first.n) == ("camera", "a", 40)
    assert first.accuracy == 0.75
    exact = binomtest(30, 40).proportion_ci(1 - 0.05 / 6, "exact")
    assert (first.low, first.high) == pytest.approx((exact.low, exact.high))
    assert found[1].value == "lowest quarter (0 to 49)"


def test_numbers_in_texts_are_cut_into_quarters_and_few_values_are_kept() -> None:
    right = np.ones(100, bool)
    texts = np.array([str(i / 10) for i in range(100)])
    assert {each.value for each in find_slices({"age": texts}, right, 0.95)} == {
        "lowest quarter (0 to 2.4)",
        "second quarter (2.5 to 4.9)",
        "third quarter (5 to 7.4)",
        "highest quarter (7.5 to 9.9)",
    }
    levels = np.array(["1", "2", ""] * 30 + ["1"] * 10)
    assert {each.value for each in find_slices({"level": levels}, right, 0.95)} == {"1", "2"}


def test_slices_of_few_images_are_left_out() -> None:
    assert find_slices({"camera": np.array(["a"] * 19 + ["b"] * 11)}, np.ones(30, bool), 0.95) == []


def test_brightness_and_contrast_are_those_of_the_luminance() -> None:
    images = np.zeros((2, 64, 64, 3), np.uint8)
    images[0] = 51  # a fifth
    images[1, :32] = 255
    found = measure_pixels([images[:1], images[1:]])
    assert found["brightness"] == pytest.approx([20, 50])
    assert found["contrast"] == pytest.approx([0, 50])


def test_originals_have_a_size_and_an_aspect_where_both_sides_are_known() -> None:
    found = measure_sides(["100", "400", "100"], ["102", "100", "400"])
    assert found["aspect of the original"].tolist() == [
        "square",
        "wider than tall",
        "taller than wide",
    ]
    assert found["size of the original"][1] == 200
    assert measure_sides(["100", ""], ["100", "5"]) == {}
    assert measure_sides(["100", "0"], ["100", "0"]) == {}


@pytest.mark.parametrize("n_slices", [10, 200, 1000])
@pytest.mark.parametrize("n", [20, 50, 2000])
def test_the_intervals_of_many_slices_hold_together(n_slices: int, n: int) -> None:
    """By the binomial distribution: how often at least one of them misses the true share."""
    hits = np.arange(n + 1)
    levels = np.full(n + 1, n)
    tail = 0.05 * (n + 1) / n_slices  # bound_together corrects for n + 1 shares
    low, high = bound_together(hits, levels, 1 - tail)
    for share in (0.5, 0.8, 0.9, 0.97, 0.99):
        missed = binom.pmf(hits, n, share)[(low > share) | (high < share)].sum()
        assert 1 - (1 - missed) ** n_slices <= 0.05


def test_classes_that_are_called_by_numbers_are_not_cut_into_quarters() -> None:
    digits = np.repeat([str(digit) for digit in range(10)], 20)
    found = find_slices({"class": digits}, np.ones(200, bool), 0.95)
    assert {each.value for each in found} == {str(digit) for digit in range(10)}
