"""Labels that may be wrong, by confident learning: Northcutt et al. (2021), in cleanlab."""

import warnings

import numpy as np
from scipy.special import softmax

from vision.evaluation.gallery import Mistake


def find_label_issues(logits: np.ndarray, labels: np.ndarray, temperature: float) -> list[Mistake]:
    """Return images that a model, judged by its own mean confidence, puts in another class.

    Args:
        logits: (n, classes) float32 of images that the model was not trained on.
        labels: (n,) indices of classes.
        temperature: makes the confidence fit the accuracy; see vision/evaluation/calibration.py.

    Returns:
        The likeliest first. Classes without images are left out: there is nothing to compare with.
    """
    from cleanlab.filter import find_label_issues as rank_issues  # 6 s, which other stages save

    present, shown = np.unique(labels, return_inverse=True)
    if len(present) < 2:
        return []
    probabilities = softmax(logits[:, present].astype(np.float64) / temperature, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it finds fewer in a class of few images
        found = rank_issues(
            shown, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1
        )
    predicted = present[probabilities.argmax(1)]
    return [
        Mistake(int(i), int(labels[i]), int(predicted[i]), float(probabilities[i].max()))
        for i in found
        if predicted[i] != labels[i]
    ]
