"""Write images into shards, see shards.py.

A shard of more than SHARD_BYTES is two, of one bit more. So the shards hang on the set of images
alone, be they written in any order, by any number of processes, or grown one by one; one image more
changes one shard, or makes two of it. Equal images are stored once.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from vision.base.files import write_array, write_json
from vision.data.shards import CROP, FIT, ROWS, SHARD

SHARD_BYTES = 64 * 10**6
HEADER_BYTES = 128  # of a .npy file
DIGEST = np.dtype("S16")
BITS = 64  # of a digest, that can tell shards apart


def digest_pixels(pixels: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(pixels).data).digest()[: DIGEST.itemsize]


def write_images(folder: Path, images: np.ndarray) -> None:
    """Write an array, (N, P, P, 3) uint8, as shards."""
    digests = np.array([digest_pixels(image) for image in images], DIGEST)
    write_shards(folder, digests, lambda rows: images[rows])


def write_shards(
    folder: Path, digests: np.ndarray, read: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Write the images of rows, one shard at a time, and drop what else the folder holds.

    Args:
        digests: (N,) DIGEST, of each row's pixels.
        read: rows, (n,) int64 -> their images, (n, P, P, 3) uint8.
    """
    unique, first, places = np.unique(digests, return_index=True, return_inverse=True)
    most = max(1, (SHARD_BYTES - HEADER_BYTES) // read(first[:1]).nbytes)
    written = {folder / ROWS}
    for bits, part in cut_shards(unique, most):
        path = folder / f"{'-'.join(filter(None, (SHARD, bits)))}.npy"
        write_array(path, read(first[part]))
        written.add(path)
    write_array(folder / ROWS, places.astype(np.int64))
    for path in {*folder.iterdir()} - written:
        path.unlink()


def write_fit(folder: Path, fit: str) -> None:
    """Note how oblong images became squares, where they were not cropped."""
    if fit != CROP:
        write_json(folder / FIT, fit)


def cut_shards(digests: np.ndarray, most: int) -> Iterator[tuple[str, slice]]:
    """Yield each shard's bits and its part of the sorted digests, (n,) DIGEST, at most so many."""
    leading = digests.view((np.uint8, DIGEST.itemsize))[:, : BITS // 8].copy().view(">u8")[:, 0]

    def cut(bits: str, start: int, stop: int) -> Iterator[tuple[str, slice]]:
        if stop - start <= most or len(bits) == BITS:
            if start < stop:
                yield bits, slice(start, stop)
            return
        middle = np.uint64(int(f"{bits}1".ljust(BITS, "0"), 2))
        between = start + int(leading[start:stop].searchsorted(middle))
        yield from cut(f"{bits}0", start, between)
        yield from cut(f"{bits}1", between, stop)

    yield from cut("", 0, len(digests))
