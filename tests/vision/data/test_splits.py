import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import make_images
from vision.base.errors import DataError
from vision.data.dataset import Subset
from vision.data.splits import count_classes, split_images
from vision.schema.split import SplitParams

PARAMS = SplitParams(val_fraction=0.25, test_fraction=0.2)
TRAIN, VAL, TEST = Subset


def split_all_train(per_class: int, seed: int = 0) -> tuple[dict[Subset, np.ndarray], np.ndarray]:
    images, labels = make_images(per_class)
    subsets = np.zeros(len(labels), np.uint8)
    return split_images(images, labels, subsets, PARAMS, seed), labels


def test_a_source_without_subsets_is_dealt_by_both_fractions() -> None:
    parts, labels = split_all_train(20)
    assert len(parts[TEST]) == 12  # 0.2 * 60
    assert len(parts[VAL]) == 12  # 0.25 * 48
    assert np.bincount(labels[parts[VAL]]).tolist() == [4, 4, 4]


def test_the_sources_own_test_images_stay_test_images() -> None:
    images, labels = make_images(10)
    subsets = np.where(np.arange(30) % 3 == 0, TEST, TRAIN).astype(np.uint8)
    parts = split_images(images, labels, subsets, PARAMS, seed=0)
    assert parts[TEST].tolist() == list(range(0, 30, 3))
    assert len(parts[VAL]) == 5  # 0.25 * 20


def test_the_sources_own_val_images_stay_val_images() -> None:
    images, labels = make_images(4)
    subsets = np.tile(np.array([TRAIN, TRAIN, VAL, TEST], np.uint8), 3)
    parts = split_images(images, labels, subsets, PARAMS, seed=0)
    assert [parts[s].tolist() for s in (VAL, TEST)] == [[2, 6, 10], [3, 7, 11]]


def test_another_seed_deals_otherwise() -> None:
    first, _ = split_all_train(20, seed=0)
    second, _ = split_all_train(20, seed=1)
    assert first[VAL].tolist() != second[VAL].tolist()


@settings(max_examples=25, deadline=None)
@given(per_class=st.integers(6, 20), seed=st.integers(0, 2**32 - 1))
def test_subsets_are_disjoint_and_complete_and_hold_every_class(per_class: int, seed: int) -> None:
    parts, labels = split_all_train(per_class, seed)
    dealt = np.concatenate(list(parts.values()))
    assert sorted(dealt.tolist()) == list(range(3 * per_class))
    for indices in parts.values():
        assert set(labels[indices]) == {0, 1, 2}


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(24)))
def test_the_same_images_in_another_order_are_dealt_the_same_way(order: list[int]) -> None:
    images, labels = make_images(8)
    subsets = np.zeros(24, np.uint8)
    expected = split_images(images, labels, subsets, PARAMS, seed=5)
    shuffled = split_images(images[order], labels[order], subsets, PARAMS, seed=5)
    for subset, indices in expected.items():
        assert {order[i] for i in shuffled[subset]} == set(indices.tolist())


@pytest.mark.parametrize("per_class", [1, 2])
def test_too_few_images_are_one_line_with_the_counts(per_class: int) -> None:
    with pytest.raises(DataError, match=f"of {3 * per_class} images in 3 classes"):
        split_all_train(per_class)


def test_classes_without_images_are_counted_as_zero() -> None:
    assert count_classes(np.array([0, 2, 2]), ["a", "b", "c"]) == {"a": 1, "b": 0, "c": 2}
