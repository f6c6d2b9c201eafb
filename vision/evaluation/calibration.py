"""Whether a model is right as often as its confidence says, and the temperature that scales it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vision.evaluation.probabilities import Scores, split

N_BINS = 15  # of equal width, as Guo et al. (2017) have them
TEMPERATURES = (0.05, 20.0)  # searched between these
FEWEST = 10  # validation images that are wrong, and that are right, behind a temperature
DIGITS = 4  # of a temperature
PRECISION = 1e-6  # of it, relative
MOST_STEPS = 50
SIMULATIONS = 400  # of a perfectly calibrated model
DRAWS_AT_ONCE = 2**22  # random numbers
UNLUCKY = 0.95  # share of simulations below the upper bound


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by; 1 where validation has too few images to choose it by.

    Attributes:
        n_wrong: of the n_val images; with them it is known why a temperature was not chosen.
    """

    temperature: float
    n_val: int
    n_wrong: int

    @property
    def is_fitted(self) -> bool:
        return FEWEST <= self.n_wrong <= self.n_val - FEWEST


@dataclass(frozen=True)
class Luck:
    """The calibration error that chance alone gives a perfectly calibrated model."""

    mean: float
    high: float  # it is below this in UNLUCKY of cases


@dataclass(frozen=True)
class Calibration:
    """Images by the confidence of their prediction, in N_BINS bins of 0..1.

    Attributes:
        counts: images in each bin.
        confidence: their mean confidence; 0 in an empty bin.
        accuracy: the share of them that is right; 0 in an empty bin.
        each: (n,) confidence of each image, sorted.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    each: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error, L1: Naeini et al. (2015)."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float((self.counts * gaps).sum() / self.counts.sum())

    @property
    def mean_confidence(self) -> float:
        return float((self.counts * self.confidence).sum() / self.counts.sum())

    @cached_property
    def luck(self) -> Luck:
        """What `error` would be, on as many images, if each were right with its confidence."""
        return simulate_errors(self.each, self.counts)


def measure_calibration(scores: Scores) -> Calibration:
    """Sort images by confidence, the largest of their probabilities."""
    order = np.argsort(scores.confidence, kind="stable")
    confidence, right = scores.confidence[order], scores.right[order]
    bins = np.clip(np.ceil(confidence * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    counts, confidences, rights = (
        np.bincount(bins, weights, N_BINS) for weights in (None, confidence, right)
    )
    full = counts.clip(1)
    return Calibration(counts, confidences / full, rights / full, confidence)


def simulate_errors(confidence: np.ndarray, counts: np.ndarray) -> Luck:
    """Let images be right by chance, each with its confidence, and measure the error each time.

    Args:
        confidence: (n,) sorted.
        counts: images in each bin, in that order.
    """
    counts = counts[counts > 0].astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    expected = np.add.reduceat(confidence, starts)
    rng, errors = np.random.default_rng(0), []
    n_at_once = max(1, DRAWS_AT_ONCE // len(confidence))
    for start in range(0, SIMULATIONS, n_at_once):
        shape = (min(n_at_once, SIMULATIONS - start), len(confidence))
        right = rng.random(shape, np.float32) < confidence.astype(np.float32)
        rights = np.add.reduceat(right, starts, axis=1, dtype=np.int64)
        errors.append(np.abs(rights - expected).sum(1) / len(confidence))
    every = np.concatenate(errors)
    return Luck(float(every.mean()), float(np.quantile(every, UNLUCKY)))


def trace_coverage(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each k, the share k / n and the accuracy on the k images of most confidence.

    Equally sure ones come in their own order. El-Yaniv and Wiener (2010) call it coverage and
    risk.
    """
    order = np.argsort(-scores.confidence, kind="stable")
    counts = np.arange(1, len(order) + 1)
    return counts / len(order), np.cumsum(scores.right[order]) / counts


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Temperature:
    """Return the temperature with the least loss on these images, which must be validation's.

    Guo et al., "On Calibration of Modern Neural Networks" (2017), section 4.2. Images that are all
    right, or all wrong, would ask for one without bound, and a few others decide it alone: with
    less than FEWEST of either it is 1.
    """
    n_wrong = int((logits.argmax(1) != labels).sum())
    unscaled = Temperature(1.0, len(labels), n_wrong)
    if not unscaled.is_fitted:
        return unscaled
    return Temperature(round(_minimise(logits, labels), DIGITS), len(labels), n_wrong)


def _minimise(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return where the loss is least: convex in 1 / temperature, so Newton's steps lead there."""
    low, high = (1 / bound for bound in reversed(TEMPERATURES))
    factor = 1.0
    for _ in range(MOST_STEPS):
        slope, curvature = measure_slope(logits, labels, factor)
        if slope > 0:
            high = factor
        else:
            low = factor
        step = factor - slope / max(curvature, 1e-12)
        following = step if low < step < high else (low * high) ** 0.5
        if abs(following / factor - 1) < PRECISION:
            break
        factor = following
    return 1 / following


def measure_slope(logits: np.ndarray, labels: np.ndarray, factor: float) -> tuple[float, float]:
    """Return the first and second derivative of the loss of `factor * logits` by the factor."""
    slopes = curvatures = 0.0
    for piece in split(logits):
        below = logits[piece] - logits[piece].max(1, keepdims=True)
        powers = np.exp(np.float32(factor) * below)
        sums = powers.sum(1)
        powers *= below
        means = powers.sum(1) / sums
        squares = np.einsum("ij,ij->i", powers, below) / sums
        own = below[np.arange(len(below)), labels[piece]]
        slopes += float((means - own).sum(dtype=np.float64))
        curvatures += float((squares - means**2).sum(dtype=np.float64))
    return slopes / len(labels), curvatures / len(labels)
