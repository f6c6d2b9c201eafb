import pytest

from flows.engine.folds import average_folds, differ_in_fold_alone, drop_fold


def test_folds_are_averaged_with_an_interval() -> None:
    scores = [((f"split.fold={fold}",), score) for fold, score in enumerate((0.7, 0.8, 0.9))]
    (folds,) = average_folds(scores)
    assert folds.describe() == "mean of 3 folds: 0.8000 (95 % t-interval 0.5516 to 1.0000)"
    margin = 4.302652729911275 * 0.1 / 3**0.5  # Student's t for 2 degrees of freedom
    assert folds.mean.low == pytest.approx(0.8 - margin)


def test_folds_of_several_settings_are_ranked_by_their_means() -> None:
    scores = [
        ((f"seed={seed}", f"split.fold={fold}"), 0.1 * seed + 0.01 * fold)
        for seed in (1, 2)
        for fold in (0, 1)
    ]
    best, other = average_folds([*scores, (("seed=3",), 0.9)])
    assert (best.changes, other.changes) == (("seed=2",), ("seed=1",))
    assert best.describe().startswith("mean of 2 folds with seed=2: 0.2050 (")


def test_only_folds_choose_nothing() -> None:
    folds = [("+split.folds=2", f"split.fold={fold}") for fold in range(2)]
    assert differ_in_fold_alone(folds)
    assert not differ_in_fold_alone(folds[:1])
    assert not differ_in_fold_alone([*folds, ("+split.folds=3", "split.fold=0")])
    assert not differ_in_fold_alone([("seed=1",), ("seed=2",)])
    assert drop_fold(folds[0]) == ("+split.folds=2",)
