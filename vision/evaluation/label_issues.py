"""Labels that may be wrong, by confident learning: Northcutt, Jiang and Chuang (2021), section 3.1.

As cleanlab's filter_by="confident_learning" has it, but read in pieces, and silent where a model
knows too little to doubt a label.
"""

import numpy as np

from vision.evaluation.gallery import Mistake
from vision.evaluation.probabilities import split

FEWEST = 5  # images of a class, or its threshold is an accident
WEAK = 0.8  # accuracy; below it most doubts are errors of the model


def find_label_issues(logits: np.ndarray, labels: np.ndarray, temperature: float) -> list[Mistake]:
    """Return images that a model puts in another class, more confidently than is usual there.

    A class's threshold is the mean of its probability over the images with its label. Of the
    classes whose probability for an image reaches their threshold, the most probable one counts;
    the label is in doubt if that is another, and is the prediction, too.

    Args:
        logits: (n, classes) float32 of images that the model was not trained on.
        labels: (n,) indices of classes.
        temperature: makes the confidence fit the accuracy; see vision/evaluation/calibration.py.

    Returns:
        The least probable label first. Classes of fewer than FEWEST images are left out: neither
        are their labels doubted, nor others for them.
    """
    counts = np.bincount(labels, minlength=logits.shape[1])
    classes = np.flatnonzero(counts >= FEWEST)
    if len(classes) < 2:
        return []
    thresholds = _measure_thresholds(logits, labels, temperature)
    found: list[tuple[float, Mistake]] = []
    for piece in split(logits):
        probabilities = soften(logits[piece], temperature)
        reached = np.full(probabilities.shape, -1.0)
        reached[:, classes] = np.where(
            probabilities[:, classes] >= thresholds[classes], probabilities[:, classes], -1.0
        )
        guess, own = reached.argmax(1), labels[piece]
        doubted = (reached.max(1) > 0) & (guess != own) & (counts[own] >= FEWEST)
        doubted &= guess == probabilities.argmax(1)
        for i in np.flatnonzero(doubted):
            mistake = Mistake(
                piece.start + int(i), int(own[i]), int(guess[i]), float(probabilities[i, guess[i]])
            )
            found.append((float(probabilities[i, own[i]]), mistake))
    return [mistake for _, mistake in sorted(found, key=lambda pair: (pair[0], pair[1].position))]


def _measure_thresholds(logits: np.ndarray, labels: np.ndarray, temperature: float) -> np.ndarray:
    """Return each class's mean probability over the images with its label; 0 without any."""
    sums, counts = np.zeros(logits.shape[1]), np.bincount(labels, minlength=logits.shape[1])
    for piece in split(logits):
        own = labels[piece]
        probabilities = soften(logits[piece], temperature)[np.arange(len(own)), own]
        sums += np.bincount(own, probabilities, len(sums))
    means: np.ndarray = sums / counts.clip(1)
    return means


def soften(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities: (n, classes) float64."""
    powers = np.exp((logits - logits.max(1, keepdims=True)) / np.float64(temperature))
    probabilities: np.ndarray = powers / powers.sum(1, keepdims=True)
    return probabilities
