"""Test images that are in the training images too, pixel by pixel or nearly so.

Near is what is unusual: images of one class are alike, and how much so differs from one data set
to the next. So the training image of its class most like a test image is set beside the training
images most like each other.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from PIL import Image

from vision.base.progress import track
from vision.data.dataset import ImageSet
from vision.schema.duplicates import DuplicatesParams

FINE_PX, COARSE_PX = 16, 4  # sides between which lies the detail that is compared
FRAME = 1 / 8  # of the side, left out all around
MIN_DETAIL = 4.0  # grey levels of 255, standard deviation; plain sky has no more
SAMPLE = 2000  # training images that are set beside the others
FEWEST = 20  # of them, or nothing can be called usual
AT_ONCE = 4096  # images, of the comparison of all with all
TOO_ALIKE = 0.1  # share of the test images with a training image that correlates by the minimum
HIGHEST = 0.9999  # correlation whose Fisher transform is still a number
NORMAL_MAD = NormalDist().inv_cdf(0.75)  # median deviation of a normal distribution of spread 1


@dataclass(frozen=True)
class Duplicate:
    """A test image and the training image most like it."""

    test: int  # position among the test images
    train: int  # position among the training images
    correlation: float  # of their detail
    is_exact: bool  # pixel for pixel


@dataclass(frozen=True)
class Likeness:
    """How alike images of one class are, and what follows for near-duplicates.

    Attributes:
        threshold: correlation above which a test image is a near-duplicate; None where nothing can
            be said, as there are too few training images, or as the images are too alike.
        test_share: test images with a training image of `min_correlation` or more.
        train_share: training images with another one such; None of too few.
    """

    threshold: float | None
    test_share: float
    train_share: float | None

    @property
    def is_too_alike(self) -> bool:
        return self.test_share > TOO_ALIKE


@dataclass(frozen=True)
class Nearest:
    """For each image of some, the training image of its class most like it."""

    train: np.ndarray  # (n,) its position, -1 where there is none
    correlation: np.ndarray  # (n,) float32, -1 where there is none


def find_duplicates(
    train: ImageSet, test: ImageSet, params: DuplicatesParams
) -> tuple[list[Duplicate], Likeness]:
    """Return the test images that are in training too, the likest first, and how alike images are.

    Copies, pixel for pixel, are found whatever their labels. Near-duplicates have equal labels,
    some detail, and a correlation of it that lies `deviations` robust standard deviations above
    the median of training images with each other, and at `min_correlation` or above.
    """
    sample = np.unique(np.linspace(0, len(train) - 1, min(SAMPLE, len(train))).astype(np.int64))
    details = np.concatenate([describe(test, np.arange(len(test))), describe(train, sample)])
    labels = np.concatenate([test.get_labels(), train.get_labels()[sample]])
    own = np.concatenate([np.full(len(test), -1), sample])
    copies = find_copies(train, test)
    nearest = find_nearest(train, details, labels, own)
    of_test, usual = nearest.correlation[: len(test)], nearest.correlation[len(test) :]
    likeness = weigh(of_test, usual, params)
    found = [Duplicate(i, at, 1.0, True) for i, at in copies.items()]
    if likeness.threshold is not None:
        found += [
            Duplicate(int(i), int(nearest.train[i]), float(of_test[i]), False)
            for i in np.flatnonzero(of_test >= likeness.threshold)
            if int(i) not in copies
        ]
    return sorted(
        found, key=lambda twin: (not twin.is_exact, -twin.correlation, twin.test)
    ), likeness


def weigh(of_test: np.ndarray, usual: np.ndarray, params: DuplicatesParams) -> Likeness:
    """Find the threshold in how much training images correlate with the likest of the others."""
    known = usual[usual > -1]
    test_share = float((of_test >= params.min_correlation).mean())
    if len(known) < FEWEST:
        return Likeness(None, test_share, None)
    train_share = float((known >= params.min_correlation).mean())
    if test_share > TOO_ALIKE:
        return Likeness(None, test_share, train_share)
    z = np.arctanh(np.minimum(known, HIGHEST).astype(np.float64))
    spread = np.median(np.abs(z - np.median(z))) / NORMAL_MAD
    unusual = float(np.tanh(np.median(z) + params.deviations * spread))
    return Likeness(max(unusual, params.min_correlation), test_share, train_share)


def describe(data: ImageSet, positions: np.ndarray) -> np.ndarray:
    """Return the detail of images: (n, FINE_PX * FINE_PX * 3) float32 of length 1, or 0 if plain.

    That is what a thumbnail of FINE_PX has and one of COARSE_PX has not: two skies over the sea
    have the same light above the same dark, and it says nothing. Nor does a frame around a picture.
    """
    details = np.empty((len(positions), FINE_PX * FINE_PX * 3), np.float32)
    edge = FRAME * data.image_px
    middle = (edge, edge, data.image_px - edge, data.image_px - edge)
    for row, position in enumerate(positions):
        image = Image.fromarray(np.asarray(data.images[data.indices[position]]))
        fine = image.resize((FINE_PX, FINE_PX), Image.Resampling.BOX, box=middle)
        coarse = fine.resize((COARSE_PX, COARSE_PX), Image.Resampling.BOX)
        blurred = coarse.resize((FINE_PX, FINE_PX), Image.Resampling.BICUBIC)
        details[row] = (np.asarray(fine, np.float32) - np.asarray(blurred)).ravel()
    length = np.linalg.norm(details, axis=1, keepdims=True)
    plain = length < MIN_DETAIL * np.sqrt(details.shape[1])
    normed: np.ndarray = np.where(plain, 0, details / np.maximum(length, 1))
    return normed


def find_nearest(
    train: ImageSet, details: np.ndarray, labels: np.ndarray, own: np.ndarray
) -> Nearest:
    """Return, for each of some images, the training image of its class with the most alike detail.

    Training images are read in pieces, each once.

    Args:
        details: (n, D) float32, of `describe`.
        labels: (n,) their classes.
        own: (n,) where they are among the training images, not to be compared; -1 for nowhere.
    """
    found = Nearest(np.full(len(details), -1), np.full(len(details), -1, np.float32))
    seen = train.get_labels()
    plain = ~details.any(1)
    starts = range(0, len(train), AT_ONCE)
    for start in track(starts, "training images", total=len(starts)):
        positions = np.arange(start, min(start + AT_ONCE, len(train)))
        piece = describe(train, positions)
        for label in np.unique(seen[positions]):
            theirs = np.flatnonzero((seen[positions] == label) & piece.any(1))
            for mine in _cut(np.flatnonzero((labels == label) & ~plain)):
                if len(theirs):
                    same = own[mine, None] == positions[theirs]
                    likeness = np.where(same, -1, details[mine] @ piece[theirs].T)
                    _keep(found, mine, positions[theirs], likeness)
    return found


def _cut(positions: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(positions), AT_ONCE):
        yield positions[start : start + AT_ONCE]


def _keep(found: Nearest, mine: np.ndarray, theirs: np.ndarray, likeness: np.ndarray) -> None:
    """Note where an image of a piece, (n, piece), is more like one than all before."""
    best = likeness.argmax(1)
    correlation = likeness[np.arange(len(mine)), best]
    nearer = correlation > found.correlation[mine]
    found.train[mine[nearer]] = theirs[best[nearer]]
    found.correlation[mine[nearer]] = correlation[nearer]


def find_copies(train: ImageSet, test: ImageSet) -> dict[int, int]:
    """Return, by position, the test images that a training image equals pixel for pixel."""
    asked: dict[bytes, list[int]] = {}
    for position, index in enumerate(test.indices):
        asked.setdefault(_digest(test.images[index]), []).append(position)
    copies: dict[int, int] = {}
    for position, index in enumerate(train.indices):
        for same in asked.get(_digest(train.images[index]), ()):
            copies.setdefault(same, position)
    return copies


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()
