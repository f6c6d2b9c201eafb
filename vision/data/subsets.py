"""Take some images of a set, the same ones every time."""

from dataclasses import replace

import numpy as np

from vision.data.dataset import ImageSet


def take_evenly(data: ImageSet, count: int, seed: int) -> ImageSet:
    """Return about `count` images, the same share of each class and at least one, in their order.

    All of them, where there are no more.
    """
    if count >= len(data):
        return data
    labels, rng = data.get_labels(), np.random.default_rng(seed)
    chosen: list[np.ndarray] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        n = max(1, round(count * len(members) / len(labels)))
        chosen.append(rng.permutation(members)[:n])
    return replace(data, indices=data.indices[np.sort(np.concatenate(chosen))])
