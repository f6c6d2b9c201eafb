"""CIFAR-10: the official archive of pickled batches, read without running what it pickles.

Source: Alex Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html
"""

import codecs
import io
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy._core.multiarray import _reconstruct

from vision.base.errors import SourceError
from vision.data.archives import read_members

CLASSES = [  # in the order of the labels
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]
TRAIN_BATCHES = [f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)]
TEST_BATCH = "cifar-10-batches-py/test_batch"
BATCH_IMAGES = 10_000
IMAGE_PX = 32


class Batch(NamedTuple):
    """Images as the official files hold them."""

    images: np.ndarray  # (n, 32, 32, 3) uint8
    labels: np.ndarray  # (n,) int64
    names: list[str]  # such as leptodactylus_pentadactylus_s_000004.png


def read_batches(path: Path) -> Batch:
    """Return all images: the training batches, then test.

    Raises:
        SourceError: a batch is missing or holds something else than its images and labels.
    """
    names = [*TRAIN_BATCHES, TEST_BATCH]
    images = np.empty((len(names) * BATCH_IMAGES, IMAGE_PX, IMAGE_PX, 3), np.uint8)
    labels = np.full(len(images), -1, np.int64)
    files = [""] * len(images)
    for name, content in read_members(path, names):
        start = names.index(name) * BATCH_IMAGES
        rows = slice(start, start + BATCH_IMAGES)
        images[rows], labels[rows], files[rows] = parse_batch(content, name)
    if (labels < 0).any():
        raise SourceError(f"{path.name} lacks {names[int(labels.argmin()) // BATCH_IMAGES]}")
    return Batch(images, labels, files)


def parse_batch(content: bytes, name: str) -> Batch:
    """Unpickle one batch.

    A row of its data is 1,024 reds, then greens, then blues.
    """
    batch = load_restricted(content, name)
    try:
        data, labels = batch["data"], np.array(batch["labels"], np.int64)
        numbers = (f"{name}/{number}" for number in range(BATCH_IMAGES))
        names = [str(each) for each in batch.get("filenames", numbers)]
        right = data.dtype == np.uint8 and data.shape == (BATCH_IMAGES, 3 * IMAGE_PX**2)
        right = right and labels.shape == (BATCH_IMAGES,) and labels.min() >= 0
        right = right and len(names) == BATCH_IMAGES
        if right and labels.max() < len(CLASSES):
            pixels = data.reshape(-1, 3, IMAGE_PX, IMAGE_PX)
            return Batch(pixels.transpose(0, 2, 3, 1), labels, names)  # from (n, 3, H, W)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass  # not even a batch's types
    raise SourceError(f"{name} does not hold {BATCH_IMAGES:,} images and labels")


def load_restricted(content: bytes, name: str) -> Any:
    """Unpickle arrays, numbers, text and containers of these; refuse everything else."""
    try:
        return _RestrictedUnpickler(io.BytesIO(content), encoding="latin1").load()
    except SourceError as error:
        raise SourceError(f"{name} {error}") from None
    except Exception as error:  # a damaged pickle raises whatever its opcodes run into
        raise SourceError(f"{name} cannot be unpickled: {error}") from None


def _build_dtype(name: str, align: object = False, copy: object = True) -> np.dtype[Any]:
    """Stand in for np.dtype, which warns of the 0 and 1 that Python 2 pickled for booleans."""
    return np.dtype(name, align=bool(align), copy=bool(copy))


ALLOWED: dict[tuple[str, str], Any] = {  # all that a batch's pickle may call
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,  # numpy 1
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,  # numpy 2
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _build_dtype,
    ("_codecs", "encode"): codecs.encode,  # bytes in a Python 3 pickle of protocol 2
}


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (found := ALLOWED.get((module, name))) is None:
            raise SourceError(f"asks for {module}.{name}, which no batch of images needs: refused")
        return found
