"""Put classes that are confused with each other side by side."""

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform


def order_classes(confusion: np.ndarray) -> list[int]:
    """Return the classes in the order of an average linkage of how often they are confused.

    Args:
        confusion: (classes, classes) counts; rows are the true classes.
    """
    n = len(confusion)
    if n < 3:
        return list(range(n))
    rates = confusion / confusion.sum(1, keepdims=True).clip(1)
    distances = 1 - np.minimum(rates + rates.T, 2) / 2
    np.fill_diagonal(distances, 0)
    return [int(i) for i in leaves_list(linkage(squareform(distances, checks=False), "average"))]
