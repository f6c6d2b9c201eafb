"""Images in shards, read by memory map.

images/
    shard-BITS.npy   (n, P, P, 3) uint8: those whose digest starts with BITS, sorted by digest
    rows.npy         (N,) int64: where each row's image lies in the shards, laid end to end
    fit.json         how oblong images became squares; not there where they were cropped

The shards hang on the set of images alone, see sharding.py; which row is which image, on rows.npy.
"""

import resource
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vision.base.errors import DataError
from vision.base.files import RESTORE, read_array, read_json

ROWS = "rows.npy"
FIT = "fit.json"
CROP = "crop"
SHARD = "shard"
LARGE_BYTES = 2**14  # of an image, for which joining bytes is no faster
SPARE_FILES = 256  # that a process may open beside the shards


class Images:
    """Images that are indexed by row, as an array of shape (N, P, P, 3) would be, and stay on disk.

    Attributes:
        shape: (N, P, P, 3).
        fit: how oblong images became squares.
    """

    def __init__(self, shards: Sequence[np.ndarray], rows: np.ndarray, fit: str = CROP) -> None:
        """Lay shards, each (n, P, P, 3) uint8, end to end; `rows`, (N,), says where each row is."""
        self._shards = [np.asarray(shard) for shard in shards]
        self._rows, self.fit = rows, fit
        self._starts = np.cumsum([0, *map(len, shards)])
        self._bytes = [shard.reshape(-1).data for shard in self._shards]
        self.shape = (len(rows), *self._shards[0].shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        """Return the image of a row as it lies on the disk, or a copy of several: (n, P, P, 3)."""
        places = self._rows[rows]
        numbers = self._starts.searchsorted(places, side="right") - 1
        inside = places - self._starts[numbers]
        if not np.ndim(places):
            image: np.ndarray = self._shards[int(numbers)][int(inside)]
            return image
        return self._gather(numbers, inside)

    def _gather(self, numbers: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Copy images out of their shards; small ones in one go, as each copy has its price."""
        shape, n_bytes = (len(numbers), *self.shape[1:]), self._shards[0][0].size
        if n_bytes < LARGE_BYTES:
            shards, starts = self._bytes, (inside * n_bytes).tolist()
            places = zip(numbers.tolist(), starts, strict=True)
            pieces = [shards[number][start : start + n_bytes] for number, start in places]
            return np.ndarray(shape, np.uint8, bytearray().join(pieces))
        images = np.empty(shape, np.uint8)  # which numpy maps in large pages
        for image, number, place in zip(images, numbers.tolist(), inside.tolist(), strict=True):
            image[:] = self._shards[number][place]
        return images


def open_images(folder: Path) -> Images:
    """Map the images of a folder into memory, without loading them.

    Raises:
        DataError: a shard is missing or damaged.
    """
    rows = np.asarray(read_array(folder / ROWS))
    paths = sorted(folder.glob(f"{SHARD}*.npy"))  # the order of their bits
    _allow_files(len(paths))
    shards = [read_array(path) for path in paths]
    found, expected = sum(map(len, shards)), int(rows.max(initial=-1)) + 1
    if not expected or found != expected:
        raise DataError(f"{folder} holds {found:,} of {expected:,} images: {RESTORE}")
    path = folder / FIT
    return Images(shards, rows, read_json(path) if path.exists() else CROP)


def _allow_files(count: int) -> None:
    """Raise this process's limit of open files, of which each map is one, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
