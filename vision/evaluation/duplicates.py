"""Test images that are in the training images too, pixel by pixel or to the eye."""

from dataclasses import dataclass

import numpy as np
from imagehash import phash
from PIL import Image

from vision.base.progress import track
from vision.data.dataset import ImageSet
from vision.schema.duplicates import HASH_BITS

ROWS_AT_ONCE = 200  # of the comparison of all with all


@dataclass(frozen=True)
class Duplicate:
    """A test image and the training image most like it."""

    test: int  # position among the test images
    train: int  # position among the training images
    distance: int  # bits of the perceptual hash that differ
    correlation: float  # of the pixels, each channel less its mean
    is_exact: bool  # pixel for pixel


def find_duplicates(
    train: ImageSet, test: ImageSet, max_distance: int, min_correlation: float
) -> list[Duplicate]:
    """Return the test images that have a twin in training, the likest first.

    Candidates share most bits of the perceptual hash of `imagehash` (a discrete cosine transform
    of 32 x 32 grey pixels); of these, the correlation of the pixels decides, as it forgives a
    change of brightness or contrast, and is no higher for a plain background.
    """
    seen, asked = hash_images(train, "train hashes"), hash_images(test, "test hashes")
    found = []
    for start in range(0, len(asked), ROWS_AT_ONCE):
        block = asked[start : start + ROWS_AT_ONCE]
        distances = np.bitwise_count(block[:, None] ^ seen[None])
        for row, nearest in enumerate(distances.min(1)):
            if nearest <= max_distance:
                candidates = np.flatnonzero(distances[row] <= max_distance).tolist()
                position = start + row
                image = test.images[test.indices[position]]
                others = [train.images[train.indices[i]] for i in candidates]
                correlations = [correlate(image, other) for other in others]
                best = int(np.argmax(correlations))
                if correlations[best] >= min_correlation:
                    distance = int(distances[row, candidates[best]])
                    is_exact = np.array_equal(image, others[best])
                    twin = (position, candidates[best], distance, correlations[best], is_exact)
                    found.append(Duplicate(*twin))
    return sorted(found, key=lambda twin: (-twin.is_exact, -twin.correlation, twin.test))


def hash_images(data: ImageSet, title: str) -> np.ndarray:
    """Return a perceptual hash of each image: (n,) uint64."""
    bits = np.empty((len(data), HASH_BITS), bool)
    for row, index in enumerate(track(data.indices, title, total=len(data))):
        bits[row] = phash(Image.fromarray(np.asarray(data.images[index]))).hash.ravel()
    hashes: np.ndarray = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    return hashes


def correlate(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation of two images' pixels, each channel less its mean.

    An image of one colour correlates with its equal alone.
    """
    if np.array_equal(a, b):
        return 1.0
    x, y = (image - image.mean((0, 1)) for image in (a, b))
    scale = np.sqrt(np.sum(x**2) * np.sum(y**2))
    return float(np.sum(x * y) / scale) if scale else 0.0
