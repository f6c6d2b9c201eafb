"""Deal images into train, val and test: stratified, disjoint, and independent of their order."""

import hashlib
from collections.abc import Iterable

import numpy as np
from sklearn.model_selection import train_test_split

from vision.base.errors import DataError
from vision.data.dataset import Subset
from vision.schema.split import SplitParams


def split_images(
    images: Iterable[np.ndarray],
    labels: np.ndarray,
    subsets: np.ndarray,
    params: SplitParams,
    seed: int,
) -> dict[Subset, np.ndarray]:
    """Return the sorted indices of each subset; those that the source has are kept as they are.

    Args:
        images: N of (H, W, 3) uint8.
        labels: (N,) int64.
        subsets: (N,) uint8, what the source says of each image: a `Subset`.

    Raises:
        DataError: a class has too few images to be dealt.
    """
    order = order_by_content(images, labels)
    parts = {subset: order[subsets[order] == subset] for subset in Subset}
    if not len(parts[Subset.TEST]):
        parts[Subset.TRAIN], parts[Subset.TEST] = _deal(
            parts[Subset.TRAIN], labels, params.test_fraction, "test", seed
        )
    if not len(parts[Subset.VAL]):
        parts[Subset.TRAIN], parts[Subset.VAL] = _deal(
            parts[Subset.TRAIN], labels, params.val_fraction, "val", seed
        )
    return {subset: np.sort(indices) for subset, indices in parts.items()}


def order_by_content(images: Iterable[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Return the order of the images by their hashes: no order of files can change it."""
    hashes = [
        hashlib.sha256(image.tobytes() + label.tobytes()).digest()
        for image, label in zip(images, labels, strict=True)
    ]
    return np.array(sorted(range(len(hashes)), key=hashes.__getitem__), dtype=np.int64)


def count_classes(labels: np.ndarray, classes: list[str]) -> dict[str, int]:
    counts = np.bincount(labels, minlength=len(classes))
    return {name: int(count) for name, count in zip(classes, counts, strict=True)}


def _deal(
    indices: np.ndarray, labels: np.ndarray, fraction: float, name: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Deal `indices` into those that stay and a stratified `fraction` of them."""
    n_classes = len(np.unique(labels[indices]))
    taken = round(len(indices) * fraction)
    smallest = np.bincount(labels[indices]).min()
    if smallest < 2 or taken < n_classes or len(indices) - taken < n_classes:
        raise DataError(
            f"split.{name}_fraction {fraction} of {len(indices)} images in {n_classes} classes "
            f"(the smallest has {smallest}) leaves a class empty: add images or change it"
        )
    kept, dealt = train_test_split(
        indices, test_size=taken, stratify=labels[indices], random_state=seed
    )
    return kept, dealt
