import math

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import brier_score_loss, top_k_accuracy_score

from vision.base.errors import PipelineError
from vision.evaluation import probabilities
from vision.evaluation.probabilities import check_finite, score, summarise_probabilities


def make_logits(n: int = 500, n_classes: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, n_classes, n)
    logits = rng.normal(size=(n, n_classes)).astype(np.float32)
    logits[np.arange(n), labels] += 1
    return logits, labels


def test_pieces_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = make_logits()
    whole = score(logits, labels, 1.5)
    monkeypatch.setattr(probabilities, "VALUES_AT_ONCE", 7 * 12)
    pieces = score(logits, labels, 1.5)
    for name, values in vars(whole).items():
        assert np.array_equal(getattr(pieces, name), values), name


def test_scores_are_those_of_sklearn() -> None:
    logits, labels = make_logits()
    found = summarise_probabilities(score(logits, labels), 12)
    shares = softmax(logits.astype(np.float64), axis=1)
    assert found["top_5_accuracy"] == pytest.approx(top_k_accuracy_score(labels, shares, k=5))
    assert found["brier"] == pytest.approx(brier_score_loss(labels, shares, labels=range(12)))
    own = log_softmax(logits.astype(np.float64), axis=1)[np.arange(500), labels]
    assert found["log_loss"] == pytest.approx(-own.mean())


def test_equal_logits_rank_by_the_order_of_the_classes() -> None:
    found = score(np.zeros((3, 3), np.float32), np.array([0, 1, 2]))
    assert found.rank.tolist() == [0, 1, 2]  # as the first class is predicted
    assert found.right.tolist() == [True, False, False]
    assert found.loss == pytest.approx([math.log(3)] * 3)


def test_few_classes_have_no_top_5() -> None:
    logits, labels = make_logits(n_classes=10)
    assert "top_5_accuracy" not in summarise_probabilities(score(logits, labels), 10)


def test_huge_logits_have_a_finite_loss() -> None:
    found = score(np.array([[0, 3e38], [3e38, 0]], np.float32), np.array([0, 1]))
    assert np.isfinite(found.loss).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_one_line(bad: float) -> None:
    logits, _ = make_logits()
    check_finite(logits, "tuned, val")
    logits[[3, 7], 1] = bad
    with pytest.raises(PipelineError, match=r"^tuned, val: the logits of 2 of 500 images [^\n]*$"):
        check_finite(logits, "tuned, val")
