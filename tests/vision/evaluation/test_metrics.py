import math

import numpy as np
import pytest
from sklearn.metrics import classification_report

from vision.base.params import ParamsError, check_section
from vision.evaluation.metrics import bound_scores, measure
from vision.schema.evaluate import EvaluateParams

PARAMS = EvaluateParams(batch_size=8, bootstrap_resamples=500, confidence=0.95)
CLASSES = ("cat", "dog")
EYE = np.eye(3, dtype=np.float32)


def measure_guesses(guesses, labels, classes=CLASSES, params=PARAMS, seed=0):
    logits = EYE[:, : len(classes)][guesses]
    return measure(logits, np.array(labels), classes, params, seed)


def test_accuracy_of_two_right_in_four_is_half():
    assert measure_guesses([0, 0, 1, 1], [0, 1, 1, 0])["accuracy"] == 0.5


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes():
    metrics = measure(np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1]), CLASSES, PARAMS, 0)
    assert metrics["loss"] == pytest.approx(math.log(2))


def test_huge_logits_have_a_finite_loss():
    logits = np.array([[0, 1e30], [1e30, 0]], np.float32)
    assert math.isfinite(measure(logits, np.array([0, 1]), CLASSES, PARAMS, 0)["loss"])


def test_rows_of_the_confusion_matrix_are_the_true_classes():
    assert measure_guesses([1, 1, 1, 0], [0, 0, 1, 0])["confusion"] == [[1, 2], [0, 1]]


def test_scores_of_a_class_are_those_counted_by_hand():
    # cat: found 1 of 3, and the one image that was called cat is one
    metrics = measure_guesses([1, 1, 1, 0], [0, 0, 1, 0])
    cat = {"precision": 1.0, "recall": 1 / 3, "f1": 0.5, "support": 3}
    assert {key: metrics["per_class"]["cat"][key] for key in cat} == pytest.approx(cat)


def test_averages_agree_with_sklearns_report():
    rng = np.random.default_rng(3)
    labels, guesses = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    metrics = measure_guesses(guesses, labels, ("a", "b", "c"))
    report = classification_report(labels, guesses, output_dict=True)
    for average in ("macro", "weighted"):
        wanted = report[f"{average} avg"]
        assert metrics[f"{average}_avg"]["f1"] == pytest.approx(wanted["f1-score"])
        assert metrics[f"{average}_avg"]["support"] == wanted["support"]


def test_a_class_that_is_never_seen_nor_predicted_scores_nothing_and_does_not_warn():
    metrics = measure_guesses([0, 1], [0, 1], ("a", "b", "c"))
    assert set(metrics["per_class"]["c"].values()) == {0}
    assert metrics["macro_avg"]["f1"] == 1.0  # it is not held against the model


def test_classes_may_bear_the_names_of_sklearns_averages():
    metrics = measure_guesses([0, 1, 2], [0, 1, 1], ("accuracy", "macro avg", "weighted avg"))
    assert metrics["per_class"]["macro avg"]["recall"] == 0.5
    assert metrics["accuracy"] == pytest.approx(2 / 3)


def test_interval_of_the_bootstrap_is_close_to_that_of_the_binomial_distribution():
    # 80 of 100: the normal approximation gives 0.8 -+ 1.96 * 0.04
    metrics = measure_guesses([0] * 80 + [1] * 20, [0] * 100)
    assert metrics["accuracy_low"] == pytest.approx(0.72, abs=0.02)
    assert metrics["accuracy_high"] == pytest.approx(0.88, abs=0.02)


def test_interval_is_narrower_at_a_lower_confidence():
    half = PARAMS.model_copy(update={"confidence": 0.5})
    wide = measure_guesses([0] * 80 + [1] * 20, [0] * 100)
    narrow = measure_guesses([0] * 80 + [1] * 20, [0] * 100, params=half)
    assert wide["accuracy_low"] < narrow["accuracy_low"] < narrow["accuracy_high"]
    assert narrow["accuracy_high"] < wide["accuracy_high"]


def test_interval_of_all_right_is_wilsons():
    metrics = measure_guesses([0] * 10, [0] * 10)
    z2 = 1.959964**2  # Wilson: low = n / (n + z^2) where all n are right
    assert metrics["accuracy_low"] == pytest.approx(10 / (10 + z2), abs=1e-6)
    assert metrics["accuracy_high"] == 1.0


def test_interval_of_none_right_starts_at_zero():
    metrics = measure_guesses([1] * 10, [0] * 10)
    assert metrics["accuracy_low"] == 0.0
    assert 0 < metrics["accuracy_high"] < 0.5


def test_the_seed_fixes_the_interval():
    first, again = (measure_guesses([0] * 63 + [1] * 37, [0] * 100, seed=7) for _ in range(2))
    assert first == again


@pytest.mark.parametrize(
    ("key", "value"),
    [("batch_size", 0), ("bootstrap_resamples", 99), ("confidence", 1.0), ("confidence", 0.4)],
)
def test_params_out_of_range_are_refused_by_name(key, value):
    values = PARAMS.model_dump() | {key: value}
    with pytest.raises(ParamsError, match=f"evaluate.{key}"):
        check_section("evaluate", values, EvaluateParams)


def test_intervals_of_scores_cover_the_truth_as_often_as_they_say():
    """300 test sets of 400 images from known cells; five standard errors off."""
    shares = np.array([[0.45, 0.05], [0.1, 0.4]])
    truth = {"precision": 0.45 / 0.55, "recall": 0.9, "f1": 0.9 / 1.05}
    rng = np.random.default_rng(0)
    inside = dict.fromkeys(truth, 0)
    for seed in range(300):
        confusion = rng.multinomial(400, shares.ravel()).reshape(2, 2)
        bounds = bound_scores(confusion, PARAMS, seed)[0]
        for key, value in truth.items():
            inside[key] += bounds[f"{key}_low"] <= value <= bounds[f"{key}_high"]
    for count in inside.values():
        assert count / 300 == pytest.approx(0.95, abs=5 * math.sqrt(0.95 * 0.05 / 300))


def test_the_interval_of_a_perfect_class_is_a_point():
    bounds = bound_scores(np.diag([5, 5]), PARAMS, 0)[0]
    assert set(bounds.values()) == {1.0}
