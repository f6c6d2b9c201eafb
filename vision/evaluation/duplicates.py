"""Test images that are in the training images too, pixel by pixel or to the eye."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from imagehash import phash
from PIL import Image

from vision.base.progress import track
from vision.data.dataset import ImageSet
from vision.schema.duplicates import HASH_BITS

PAIRS_AT_ONCE = 2**23  # of hashes, of the comparison of all with all
MAX_CANDIDATES = 50  # compared by their pixels, for a test image; CIFAR-10 has 15 at most


@dataclass(frozen=True)
class Duplicate:
    """A test image and the training image most like it."""

    test: int  # position among the test images
    train: int  # position among the training images
    distance: int  # bits of the perceptual hash that differ
    correlation: float  # of the pixels, each channel less its mean
    is_exact: bool  # pixel for pixel


@dataclass(frozen=True)
class Capped:
    """Test images that looked like too many training images to be compared with each."""

    images: int
    compared: int  # training images, of those with the nearest hash, for each
    pairs_left_out: int


def find_duplicates(
    train: ImageSet, test: ImageSet, max_distance: int, min_correlation: float
) -> tuple[list[Duplicate], Capped | None]:
    """Return the test images that have a twin in training, the likest first.

    Candidates share most bits of the perceptual hash of `imagehash` (a discrete cosine transform
    of 32 x 32 grey pixels); of these, the correlation of the pixels decides, as it forgives a
    change of brightness or contrast, and is no higher for a plain background. Of more than
    MAX_CANDIDATES, those with the nearest hash are compared, and one that is the same pixel for
    pixel; `Capped` says so.
    """
    seen, asked = hash_images(train, "train hashes"), hash_images(test, "test hashes")
    found: list[Duplicate] = []
    left_out: list[int] = []
    positions: dict[bytes, int] = {}  # of training images, by their pixels
    for position, distances in track(measure_distances(asked, seen), "pairs", total=len(asked)):
        candidates = np.flatnonzero(distances <= max_distance)
        image = test.images[test.indices[position]]
        if len(candidates) > MAX_CANDIDATES:
            positions = positions or find_first_positions(train)
            nearest = np.argsort(distances[candidates], kind="stable")[:MAX_CANDIDATES]
            same = positions.get(digest_pixels(image), candidates[nearest[0]])
            chosen = np.union1d(candidates[nearest], same)
            left_out.append(len(candidates) - len(chosen))
            candidates = chosen
        if len(candidates):
            twin = _compare(position, image, train, candidates, distances)
            if twin.correlation >= min_correlation:
                found.append(twin)
    capped = Capped(len(left_out), MAX_CANDIDATES, sum(left_out)) if any(left_out) else None
    return sorted(found, key=lambda twin: (-twin.is_exact, -twin.correlation, twin.test)), capped


def measure_distances(asked: np.ndarray, seen: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each position of `asked` with how many bits it differs in from each of `seen`."""
    n_at_once = max(1, PAIRS_AT_ONCE // max(1, len(seen)))
    for start in range(0, len(asked), n_at_once):
        block = asked[start : start + n_at_once]
        distances = np.bitwise_count(block[:, None] ^ seen[None])  # (B, n) uint8
        yield from enumerate(distances, start)


def find_first_positions(data: ImageSet) -> dict[bytes, int]:
    """Return where each picture of a subset comes first, by a digest of its pixels."""
    positions: dict[bytes, int] = {}
    for position, index in enumerate(data.indices):
        positions.setdefault(digest_pixels(data.images[index]), position)
    return positions


def digest_pixels(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _compare(
    position: int,
    image: np.ndarray,
    train: ImageSet,
    candidates: np.ndarray,
    distances: np.ndarray,
) -> Duplicate:
    """Return the candidate that a test image correlates with most; the first, of equal ones."""
    others = (train.images[train.indices[i]] for i in candidates)
    correlations = [correlate(image, other) for other in others]
    best = int(candidates[int(np.argmax(correlations))])
    return Duplicate(
        test=position,
        train=best,
        distance=int(distances[best]),
        correlation=max(correlations),
        is_exact=np.array_equal(image, train.images[train.indices[best]]),
    )


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
