import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from vision.evaluation.calibration import (
    FEWEST,
    N_BINS,
    Calibration,
    Temperature,
    fit_temperature,
    measure_calibration,
    trace_coverage,
)
from vision.evaluation.metrics import measure_loss
from vision.evaluation.probabilities import score


def make_logits(n: int = 2000, sharpness: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits whose softmax is exact at a temperature of `sharpness`, and labels."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(n, 4)) * 2
    odds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(4, p=p) for p in odds])
    return (sharpness * logits).astype(np.float32), labels


def calibrate(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> Calibration:
    return measure_calibration(score(logits, labels, temperature))


def test_the_error_is_that_of_torchmetrics() -> None:
    logits, labels = make_logits()
    expected = multiclass_calibration_error(
        torch.from_numpy(logits).double().softmax(1), torch.from_numpy(labels), 4, N_BINS, "l1"
    )
    assert calibrate(logits, labels).error == pytest.approx(float(expected), abs=1e-6)


def test_two_bins_by_hand() -> None:
    """Half say 0.9 and are right in half, half say 0.65 and are always right: 0.4 and 0.35 off."""
    logits = np.log(np.array([[0.9, 0.1]] * 10 + [[0.65, 0.35]] * 10, np.float32))
    labels = np.array([0, 1] * 5 + [0] * 10)
    found = calibrate(logits, labels)
    assert found.error == pytest.approx(0.375)
    assert found.mean_confidence == pytest.approx(0.775)
    assert (found.counts[13], found.accuracy[13]) == (10, 0.5)  # 0.9 is in (13/15, 14/15]
    assert (found.counts[9], found.accuracy[9]) == (10, 1.0)  # 0.65 is in (9/15, 10/15]


def test_a_temperature_undoes_logits_that_are_too_sharp() -> None:
    logits, labels = make_logits(sharpness=3.0)
    temperature = fit_temperature(logits, labels).temperature
    assert temperature == pytest.approx(3.0, rel=0.1)
    after = calibrate(logits, labels, temperature)
    assert after.error < 0.3 * calibrate(logits, labels).error
    assert after.error < after.luck.high


@pytest.mark.parametrize("n_wrong", [0, FEWEST - 1, 101 - FEWEST, 100])
def test_few_wrong_or_few_right_images_choose_no_temperature(n_wrong: int) -> None:
    """Without a floor, the best is 0.05 where all are right, and 20 where all are wrong."""
    labels = np.arange(100) % 3
    logits = np.eye(3, dtype=np.float32)[(labels + (np.arange(100) < n_wrong)) % 3]
    assert fit_temperature(logits, labels) == Temperature(1.0, 100, n_wrong)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_a_temperature_stays_in_its_bounds(factor: float) -> None:
    logits, labels = make_logits(n=300)
    found = fit_temperature(logits * np.float32(factor), labels).temperature
    assert 0.05 <= found <= 20


@pytest.mark.parametrize("n", [30, 359, 10_000])
def test_the_error_of_chance_is_that_of_perfectly_calibrated_models(n: int) -> None:
    """Labels that are drawn with the probabilities that the logits give, 60 times."""
    rng = np.random.default_rng(1)
    logits = (3 * rng.normal(size=(n, 4))).astype(np.float32)
    powers = np.exp(logits.astype(np.float64))
    edges = np.cumsum(powers / powers.sum(1, keepdims=True), axis=1)
    drawn = [(rng.random((n, 1)) > edges).sum(1).clip(0, 3) for _ in range(60)]
    every = [calibrate(logits, labels) for labels in drawn]
    errors = np.array([each.error for each in every])
    luck = every[0].luck
    assert luck.mean == pytest.approx(errors.mean(), abs=4 * errors.std() / 60**0.5)
    assert (errors <= luck.high).mean() >= 0.85
    assert luck == every[1].luck  # of the confidence alone, and the same every time


@pytest.mark.parametrize("sharpness", [0.1, 0.9, 1.0, 5.0])
def test_a_temperature_never_worsens_the_loss_that_chose_it(sharpness: float) -> None:
    logits, labels = make_logits(n=300, sharpness=sharpness)
    scaled = logits / np.float32(fit_temperature(logits, labels).temperature)
    assert measure_loss(scaled, labels) <= measure_loss(logits, labels) + 1e-9


def test_a_certain_prediction_is_in_the_last_bin() -> None:
    found = calibrate(np.array([[1000.0, 0.0]], np.float32), np.array([0]))
    assert found.counts[-1] == 1
    assert found.error == pytest.approx(0.0)


def test_coverage_counts_the_surest_images_first():
    labels = np.array([0, 1, 0, 1])
    logits = np.array([[3, 0], [0, 2], [0, 1], [0.5, 0]], np.float32)  # right, right, wrong, wrong
    coverage, accuracy = trace_coverage(score(logits, labels))
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert accuracy == pytest.approx([1, 1, 2 / 3, 0.5])
