import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.conftest import make_images
from vision.base.errors import DataError
from vision.data.dataset import Subset
from vision.data.splits import (
    KEY,
    count_classes,
    find_disputed,
    find_groups,
    join_groups,
    key_images,
    place_keys,
    split_images,
)
from vision.schema.split import SplitParams

DEFAULTS = {"val_fraction": 0.1, "test_fraction": 0.2}
TRAIN, VAL, TEST = Subset
Parts = dict[Subset, set[int]]


def draw_keys(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array([rng.bytes(KEY.itemsize) for _ in range(n)], KEY)


def deal(
    keys: np.ndarray,
    labels: np.ndarray,
    subsets: np.ndarray | None = None,
    seed: int = 0,
    **params: object,
) -> Parts:
    classes = [f"class {label}" for label in range(max(labels) + 1)]
    subsets = np.zeros(len(labels), np.uint8) if subsets is None else subsets
    knobs = SplitParams.model_validate(DEFAULTS | params)
    indices = split_images(keys, labels, subsets, classes, knobs, seed).indices
    assert all((rows == np.sort(rows)).all() for rows in indices.values())
    return {subset: set(rows.tolist()) for subset, rows in indices.items()}


def test_the_parts_have_about_their_shares() -> None:
    parts = deal(draw_keys(10_000), np.arange(10_000) % 10)
    assert len(parts[TEST]) == pytest.approx(2000, abs=4 * 40)  # four standard deviations
    assert len(parts[VAL]) == pytest.approx(800, abs=4 * 27)  # 0.1 of the 8,000 that are left


@pytest.mark.parametrize(("before", "more"), [(200, 1), (2000, 100)])
def test_images_that_come_move_no_other(before: int, more: int) -> None:
    keys, labels = draw_keys(before + more), np.arange(before + more) % 2
    for seed in range(20):
        old = deal(keys[:before], labels[:before], seed=seed)
        new = deal(keys, labels, seed=seed)
        assert all(old[subset] <= new[subset] for subset in Subset)


def test_an_image_that_came_to_help_a_class_goes_back_when_it_has_one_of_its_own() -> None:
    keys = draw_keys(400)
    places = place_keys(keys, seed=0)
    (high, low) = (np.flatnonzero(places > 0.28), np.flatnonzero(places < 0.2))
    labels = np.zeros(400, np.int64)
    labels[high[:9]] = 1  # without a test image
    before = deal(keys, labels)
    labels[low[0]] = 1
    after = deal(keys, labels)
    (helper,) = (row for row in before[TEST] if labels[row] == 1 and row != low[0])
    assert before[TEST] - after[TEST] == {helper}


def test_images_that_go_move_no_other() -> None:
    keys, labels = draw_keys(500), np.arange(500) % 5
    old = deal(keys, labels)
    kept = np.flatnonzero(np.arange(500) % 7)
    new = deal(keys[kept], labels[kept])
    assert all({int(kept[row]) for row in new[subset]} <= old[subset] for subset in Subset)


def test_an_image_that_is_relabelled_keeps_its_part() -> None:
    keys, labels = draw_keys(500), np.arange(500) % 5
    assert deal(keys, labels) == deal(keys, labels[::-1].copy())


def test_a_larger_fraction_takes_from_what_is_left() -> None:
    keys, labels = draw_keys(500), np.arange(500) % 5
    small, large = (deal(keys, labels, test_fraction=share) for share in (0.1, 0.3))
    assert small[TEST] < large[TEST]


def test_another_seed_deals_otherwise() -> None:
    keys, labels = draw_keys(100), np.arange(100) % 5
    assert deal(keys, labels)[TEST] != deal(keys, labels, seed=1)[TEST]


def test_the_sources_own_test_images_stay_test_images() -> None:
    subsets = np.where(np.arange(900) % 3 == 0, TEST, TRAIN).astype(np.uint8)
    parts = deal(draw_keys(900), np.arange(900) % 2, subsets, val_fraction=0.25)
    assert parts[TEST] == set(range(0, 900, 3))
    assert len(parts[VAL]) == pytest.approx(150, abs=4 * 11)  # 0.25 of 600


def test_what_the_source_has_dealt_stays() -> None:
    subsets = np.tile(np.array([TRAIN, TRAIN, VAL, TEST], np.uint8), 3)
    parts = deal(draw_keys(12), np.zeros(12, np.int64), subsets)
    assert (parts[VAL], parts[TEST]) == ({2, 6, 10}, {3, 7, 11})


def test_fifty_classes_of_ten_are_in_each_part() -> None:
    labels = np.repeat(np.arange(50), 10)
    for seed in range(20):
        parts = deal(draw_keys(500, seed), labels, seed=seed)
        assert all({labels[row] for row in rows} == set(range(50)) for rows in parts.values())


def test_a_class_that_lacks_a_part_gives_the_nearest_image() -> None:
    keys = draw_keys(300)
    places = place_keys(keys, seed=0)
    high = np.flatnonzero(places > 0.28)  # of train, all of them
    labels = np.zeros(300, np.int64)
    labels[high[:5]] = 1
    nearest = high[:5][np.argsort(places[high[:5]])]
    parts = deal(keys, labels)
    found = [part for row in nearest for part, rows in parts.items() if row in rows]
    assert found == [TEST, VAL, TRAIN, TRAIN, TRAIN]


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(3, 9), min_size=2, max_size=9),
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0.01, 0.95),
)
def test_three_images_of_a_class_are_enough(sizes: list[int], seed: int, share: float) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    parts = deal(draw_keys(len(labels), seed), labels, seed=seed, test_fraction=share)
    assert sorted(row for rows in parts.values() for row in rows) == list(range(len(labels)))
    assert all({*labels[[*rows]]} == {*range(len(sizes))} for rows in parts.values())


def test_a_class_of_two_is_named_or_in_train_alone() -> None:
    keys, labels = draw_keys(302), np.array([0] * 300 + [1] * 2)
    with pytest.raises(
        DataError, match=r"few images to be in train, val, test: class 1 \(2 images\); .*: train$"
    ):
        deal(keys, labels)
    parts = deal(keys, labels, rare="train")
    assert {300, 301} <= parts[TRAIN]
    assert all(parts.values())
    fewer = np.where(np.arange(302) % 5, TRAIN, TEST).astype(np.uint8)
    assert deal(keys[:300], labels[:300], fewer[:300])[VAL]


def test_where_the_source_has_test_images_two_are_enough() -> None:
    subsets = np.array([TRAIN] * 8 + [TEST] * 4, np.uint8)
    labels = np.array([0] * 6 + [1] * 2 + [0, 0, 1, 1])
    parts = deal(draw_keys(12), labels, subsets)
    assert all({*labels[[*rows]]} == {0, 1} for rows in parts.values())


def test_the_same_images_in_another_order_are_dealt_the_same_way() -> None:
    images, labels = make_images(8)
    keys = key_images([""] * 24, images)
    order = np.random.default_rng(0).permutation(24)
    expected = deal(keys, labels, seed=5)
    shuffled = deal(keys[order], labels[order], seed=5)
    assert {part: {int(order[row]) for row in rows} for part, rows in shuffled.items()} == expected


def test_a_file_is_known_by_its_md5_and_else_by_its_pixels() -> None:
    images, _ = make_images(1)
    md5 = hashlib.md5(b"file").hexdigest()
    keys = key_images([md5, "", ""], images)
    assert keys.tolist()[0] == hashlib.md5(b"file").digest()
    assert len({*keys.tolist()}) == 3
    assert (key_images([md5] * 3, {}) == keys[0]).all()  # no picture is read


def test_a_pattern_finds_groups_in_names() -> None:
    names = ["a/patient7_1.png", "b/patient7_2.png", "b/patient12_1.png", "b/other.png"]
    assert find_groups(names, r"patient(\d+)_") == ["7", "7", "12", ""]
    assert find_groups(names, r"^./\w") == ["a/p", "b/p", "b/p", "b/o"]
    with pytest.raises(DataError, match=r"split\.group 'cat' is in no file's name, such as a/p"):
        find_groups(names, "cat")
    with pytest.raises(ValidationError, match=r"'\(' is no regular expression"):
        SplitParams.model_validate(DEFAULTS | {"group": "("})


def test_equal_images_of_different_classes_are_found() -> None:
    keys = draw_keys(6)
    keys[3], keys[5] = keys[1], keys[0]
    assert find_disputed(keys, np.array([0, 1, 2, 2, 1, 0])).tolist() == [1, 3]


def test_equal_images_and_groups_stay_together() -> None:
    keys = draw_keys(600)
    keys[100:150] = keys[50:100]  # twins
    groups = [f"patient {row // 6}" if row >= 300 else "" for row in range(600)]
    joined = join_groups(keys, groups)
    parts = deal(joined, np.arange(600) % 2)
    place = {row: part for part, rows in parts.items() for row in rows}
    assert all(place[row] == place[row - 50] for row in range(100, 150))
    assert all(len({place[6 * n + k] for k in range(6)}) == 1 for n in range(50, 100))
    assert (joined[:300] == keys[:300]).all()


def test_groups_that_share_an_image_are_one() -> None:
    keys = draw_keys(5)
    keys[3] = keys[1]
    joined = join_groups(keys, ["a", "a", "b", "b", ""])
    assert len({*joined[:4].tolist()}) == 1
    first = min(hashlib.sha256(name).digest()[: KEY.itemsize] for name in (b"a", b"b"))
    assert joined.tolist() == [first] * 4 + [keys[4]]


def test_an_image_more_in_a_group_moves_none() -> None:
    keys, groups = draw_keys(61), [f"group {row % 20}" for row in range(60)] + ["group 3"]
    assert (join_groups(keys[:60], groups[:60]) == join_groups(keys, groups)[:60]).all()


def test_a_class_of_too_few_groups_is_named() -> None:
    keys, groups = draw_keys(60), ["one"] * 30 + [str(row) for row in range(30)]
    with pytest.raises(DataError, match=r"class 0 \(30 images, 1 apart\)"):
        deal(join_groups(keys, groups), np.arange(60) // 30)


def test_folds_are_disjoint_and_together_all_images() -> None:
    keys, labels = draw_keys(1000), np.arange(1000) % 4
    folds = [deal(keys, labels, folds=5, fold=fold) for fold in range(5)]
    assert sorted(row for parts in folds for row in parts[TEST]) == list(range(1000))
    assert all(len(parts[TEST]) == pytest.approx(200, abs=4 * 13) for parts in folds)
    assert all(len(parts[VAL]) == pytest.approx(80, abs=4 * 9) for parts in folds)
    subsets = np.where(np.arange(1000) % 4 == 0, TEST, TRAIN).astype(np.uint8)
    within = [deal(keys, labels // 2, subsets, folds=5, fold=fold) for fold in range(5)]
    assert (
        sorted(row for parts in within for row in parts[VAL])
        == np.flatnonzero(subsets == TRAIN).tolist()
    )


def test_folds_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValidationError, match="fold 5 is not among 5 folds"):
        SplitParams.model_validate(DEFAULTS | {"folds": 5, "fold": 5})
    subsets = np.tile(np.array([TRAIN, VAL, TEST], np.uint8), 10)
    with pytest.raises(DataError, match=r"split\.folds is 5, but the source has its own"):
        deal(draw_keys(30), np.zeros(30, np.int64), subsets, folds=5)


def test_classes_without_images_are_counted_as_zero() -> None:
    assert count_classes(np.array([0, 2, 2]), ["a", "b", "c"]) == {"a": 1, "b": 0, "c": 2}
