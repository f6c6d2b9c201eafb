import math
import time
import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import classification_report

from vision.base.params import ParamsError
from vision.base.sections import check_section
from vision.evaluation.intervals import bound_share
from vision.evaluation.metrics import measure
from vision.schema.evaluate import EvaluateParams

PARAMS = EvaluateParams(batch_size=8, confidence=0.95)
CLASSES = ("cat", "dog")
EYE = np.eye(3, dtype=np.float32)


def measure_guesses(guesses, labels, classes=CLASSES, params=PARAMS):
    logits = EYE[:, : len(classes)][guesses]
    return measure(logits, np.array(labels), classes, params)


def test_accuracy_of_two_right_in_four_is_half():
    assert measure_guesses([0, 0, 1, 1], [0, 1, 1, 0])["accuracy"] == 0.5


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes():
    metrics = measure(np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1]), CLASSES, PARAMS)
    assert metrics["loss"] == pytest.approx(math.log(2))


def test_huge_logits_have_a_finite_loss():
    logits = np.array([[0, 1e30], [1e30, 0]], np.float32)
    assert math.isfinite(measure(logits, np.array([0, 1]), CLASSES, PARAMS)["loss"])


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


def test_a_class_without_images_has_no_scores_and_does_not_count_in_the_averages():
    metrics = measure_guesses([0, 1], [0, 1], ("a", "b", "c"))
    assert {key for key, value in metrics["per_class"]["c"].items() if value is not None} == {
        "support"
    }
    assert metrics["macro_avg"]["f1"] == metrics["weighted_avg"]["f1"] == 1.0


def test_a_class_that_is_never_predicted_has_no_precision_but_a_recall_of_zero():
    metrics = measure_guesses([0, 0, 0, 0], [0, 0, 1, 1])
    dog = metrics["per_class"]["dog"]
    assert (dog["precision"], dog["precision_low"], dog["precision_high"]) == (None,) * 3
    assert (dog["recall"], dog["f1"], dog["f1_low"]) == (0, 0, 0)
    assert 0.5 < dog["recall_high"] < 0.9  # of two images
    assert metrics["macro_avg"]["precision"] == metrics["weighted_avg"]["precision"] == 0.5
    assert metrics["macro_avg"]["recall"] == 0.5


def test_classes_may_bear_the_names_of_sklearns_averages():
    metrics = measure_guesses([0, 1, 2], [0, 1, 1], ("accuracy", "macro avg", "weighted avg"))
    assert metrics["per_class"]["macro avg"]["recall"] == 0.5
    assert metrics["accuracy"] == pytest.approx(2 / 3)


def test_bounds_of_scores_are_those_of_their_own_counts():
    """Of 8 cats 6 are found, beside 2 dogs: J is 6 / 10."""
    metrics = measure_guesses([0] * 6 + [1] * 2 + [0] * 2 + [1] * 6, [0] * 8 + [1] * 8)
    cat = metrics["per_class"]["cat"]
    for key, (hits, n) in {"recall": (6, 8), "precision": (6, 8)}.items():
        assert (cat[f"{key}_low"], cat[f"{key}_high"]) == bound_share(hits, n, 0.95)
    low, high = bound_share(6, 10, 0.95)
    assert cat["f1"] == pytest.approx(0.75)
    assert cat["f1_low"] == pytest.approx(2 * low / (1 + low))
    assert cat["f1_high"] == pytest.approx(2 * high / (1 + high))


def test_interval_is_narrower_at_a_lower_confidence():
    half = PARAMS.model_copy(update={"confidence": 0.5})
    wide = measure_guesses([0] * 80 + [1] * 20, [0] * 100)
    narrow = measure_guesses([0] * 80 + [1] * 20, [0] * 100, params=half)
    assert wide["accuracy_low"] < narrow["accuracy_low"] < narrow["accuracy_high"]
    assert narrow["accuracy_high"] < wide["accuracy_high"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("batch_size", 0), ("bootstrap_resamples", 2000), ("confidence", 1.0), ("confidence", 0.4)],
)
def test_params_out_of_range_are_refused_by_name(key, value):
    values = PARAMS.model_dump() | {key: value}
    with pytest.raises(ParamsError, match=f"evaluate[.:] ?{key}"):
        check_section("evaluate", values, EvaluateParams)


def test_a_param_that_is_gone_says_so_in_one_line():
    values = PARAMS.model_dump() | {"bootstrap_resamples": 2000}
    with pytest.raises(
        ParamsError, match=r"^evaluate: bootstrap_resamples is gone, .*: remove it from"
    ):
        check_section("evaluate", values, EvaluateParams)


def test_fifty_thousand_images_of_a_thousand_classes_are_measured_within_20_s_and_500_mb() -> None:
    """The logits themselves, 200 MB, are a view of one row here."""
    row = np.random.default_rng(0).standard_normal(1000, np.float32)
    logits = np.broadcast_to(row, (50_000, 1000))
    classes = tuple(f"class {number}" for number in range(1000))
    tracemalloc.start()
    started = time.monotonic()
    metrics = measure(logits, np.arange(50_000) % 1000, classes, PARAMS)
    seconds, (_, peak) = time.monotonic() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert metrics["accuracy"] == 0.001
    assert seconds < 20
    assert peak + logits.size * logits.itemsize < 500e6
