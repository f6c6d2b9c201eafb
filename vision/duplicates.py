"""Test images that are in the training images too, pixel by pixel or to the eye."""

from dataclasses import dataclass

import numpy as np
from imagehash import phash
from PIL import Image

from vision.data import ImageSet
from vision.progress import track

HASH_BITS = 64
ROWS_AT_ONCE = 200  # of the comparison of all with all


@dataclass(frozen=True)
class Duplicate:
    """A test image and the training image most like it."""

    test: int  # position among the test images
    train: int  # position among the training images
    distance: int  # bits of the perceptual hash that differ
    difference: float  # root mean square of the pixels, of values in 0..1; 0 is the same image


def find_duplicates(
    train: ImageSet, test: ImageSet, max_distance: int, max_difference: float
) -> list[Duplicate]:
    """Return the test images that have a twin in training, the likest first.

    Candidates share most bits of the perceptual hash of `imagehash` (a discrete cosine transform
    of 32 x 32 grey pixels); of these, the pixels decide.
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
                best = min(candidates, key=lambda i: measure_difference(train, i, test, position))
                difference = measure_difference(train, best, test, position)
                if difference <= max_difference:
                    twin = Duplicate(position, best, int(distances[row, best]), difference)
                    found.append(twin)
    return sorted(found, key=lambda twin: (twin.difference, twin.test))


def hash_images(data: ImageSet, title: str) -> np.ndarray:
    """Return a perceptual hash of each image: (n,) uint64."""
    bits = np.empty((len(data), HASH_BITS), bool)
    for row, index in enumerate(track(data.indices, title, total=len(data))):
        bits[row] = phash(Image.fromarray(np.asarray(data.images[index]))).hash.ravel()
    hashes: np.ndarray = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    return hashes


def measure_difference(train: ImageSet, i: int, test: ImageSet, j: int) -> float:
    """Return the root mean square difference of two images' pixels, of values in 0..1."""
    a, b = (data.images[data.indices[k]] / 255.0 for data, k in ((train, i), (test, j)))
    return float(np.sqrt(np.mean((a - b) ** 2)))
