"""Whether a model is right as often as it says: calibration, and the temperature that mends it."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from vision.evaluation.gallery import decide
from vision.evaluation.metrics import measure_loss

N_BINS = 15  # of equal width, as Guo et al. (2017) have them
TEMPERATURES = (0.05, 20.0)  # searched between these
DIGITS = 4  # of a temperature


@dataclass(frozen=True)
class Calibration:
    """Images by the confidence of their prediction, in N_BINS bins of 0..1.

    Attributes:
        counts: images in each bin.
        confidence: their mean confidence; 0 in an empty bin.
        accuracy: the share of them that is right; 0 in an empty bin.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error, L1: Naeini et al. (2015)."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float((self.counts * gaps).sum() / self.counts.sum())

    @property
    def mean_confidence(self) -> float:
        return float((self.counts * self.confidence).sum() / self.counts.sum())


def measure_calibration(
    logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0
) -> Calibration:
    """Sort images by confidence, the largest of the probabilities that the logits give.

    Args:
        logits: (n, classes) float32.
        labels: (n,) indices of classes.
        temperature: the logits are divided by it.
    """
    probabilities = softmax(logits.astype(np.float64) / temperature, axis=1)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.clip(np.ceil(confidence * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    counts, confidences, rights = (
        np.bincount(bins, weights, N_BINS) for weights in (None, confidence, right)
    )
    return Calibration(counts, confidences / counts.clip(1), rights / counts.clip(1))


def trace_coverage(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each k, the share k / n and the accuracy on the k images of most confidence.

    Equally sure ones come in their own order. El-Yaniv and Wiener (2010) call it coverage and
    risk.
    """
    confidence, predicted = decide(logits)
    order = np.argsort(-confidence, kind="stable")
    counts = np.arange(1, len(labels) + 1)
    return counts / len(labels), np.cumsum((predicted == labels)[order]) / counts


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature with the least loss on these images, which must be validation's.

    Guo et al., "On Calibration of Modern Neural Networks" (2017), section 4.2. Where no
    temperature is better than none, as on images that are all right, it is 1.
    """

    def measure(log_temperature: float) -> float:
        return measure_loss(logits / np.float32(np.exp(log_temperature)), labels)

    found = minimize_scalar(measure, bounds=tuple(np.log(TEMPERATURES)), method="bounded")
    return round(float(np.exp(found.x)), DIGITS) if found.fun < measure(0.0) else 1.0
