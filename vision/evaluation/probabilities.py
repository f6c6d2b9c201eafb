"""What logits say of each image: the class, how surely, and what they give the label.

All that is measured of confidence rests on these few columns, so that logits of many classes are
read in pieces and never stand in memory as probabilities.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from vision.base.errors import PipelineError

VALUES_AT_ONCE = 2**20  # in double precision; more is no faster
TOP = 5  # classes that may name the label
FEWEST_FOR_TOP = 11  # classes; with fewer, half of them would count as right


@dataclass(frozen=True)
class Scores:
    """A model's word on n images; each attribute is an array of (n,).

    Attributes:
        predicted: the class of the largest logit, the first of equal ones.
        confidence: its probability.
        of_label: the probability of the label.
        loss: minus the logarithm of that, in nats.
        brier: the sum of squared distances of all probabilities from the label's 1 and 0s, 0 to 2.
        rank: how many classes come before the label; 0 is a right prediction.
    """

    predicted: np.ndarray
    confidence: np.ndarray
    of_label: np.ndarray
    loss: np.ndarray
    brier: np.ndarray
    rank: np.ndarray

    @property
    def right(self) -> np.ndarray:
        right: np.ndarray = self.rank == 0
        return right


def score(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> Scores:
    """Return what logits say of each image.

    Args:
        logits: (n, classes) float32.
        labels: (n,) indices of classes.
        temperature: the logits are divided by it.
    """
    pieces = [
        _score_piece(logits[piece] / np.float64(temperature), labels[piece])
        for piece in split(logits)
    ]
    names = [field.name for field in fields(Scores)]
    return Scores(*(np.concatenate([piece[name] for piece in pieces]) for name in names))


def _score_piece(logits: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    rows, classes = np.arange(len(labels)), np.arange(logits.shape[1])
    predicted = logits.argmax(1)
    own = logits[rows, labels][:, None]
    before = (logits > own) | ((logits == own) & (classes < labels[:, None]))
    powers = np.exp(logits - logits.max(1, keepdims=True))
    sums = powers.sum(1)
    probabilities = powers / sums[:, None]
    of_label = probabilities[rows, labels]
    return {
        "predicted": predicted,
        "confidence": probabilities[rows, predicted],
        "of_label": of_label,
        "loss": np.log(sums) + logits.max(1) - own[:, 0],
        "brier": (probabilities**2).sum(1) - 2 * of_label + 1,
        "rank": before.sum(1),
    }


def split(logits: np.ndarray) -> Iterator[slice]:
    """Yield pieces of the rows of (n, classes) that hold at most VALUES_AT_ONCE."""
    n_at_once = max(1, VALUES_AT_ONCE // max(1, logits.shape[1]))
    for start in range(0, len(logits), n_at_once):
        yield slice(start, start + n_at_once)


def summarise_probabilities(scores: Scores, n_classes: int) -> dict[str, Any]:
    """Return means over the images: log loss in nats, Brier score, and top-5 of many classes."""
    means = {"log_loss": float(scores.loss.mean()), "brier": float(scores.brier.mean())}
    if n_classes < FEWEST_FOR_TOP:
        return means
    return means | {"top_5_accuracy": float((scores.rank < TOP).mean())}


def check_finite(logits: np.ndarray, what: str) -> None:
    """Refuse logits that are no numbers.

    Args:
        what: names them in the message, such as `tuned, epoch 3, val`.

    Raises:
        PipelineError: some are not finite; says of how many images.
    """
    bad = sum(int((~np.isfinite(logits[piece]).all(1)).sum()) for piece in split(logits))
    if bad:
        raise PipelineError(
            f"{what}: the logits of {bad:,} of {len(logits):,} images are not finite: its training "
            "diverged; lower its learning_rate, or train it in precision: fp32"
        )
