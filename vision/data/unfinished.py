"""Images on their way into shards: decoded in any order, and kept on disk until all are there.

FOLDER/
    pixels      those of each row, one after the other
    rows        what is known of each row, see ROW

A process that is killed leaves them; the next one decodes what is missing.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vision.base.files import reserve
from vision.base.progress import track
from vision.data.decoding import Decoded
from vision.data.images import Picture
from vision.data.sharding import DIGEST, digest_pixels

MISSING, DONE, DEEP = range(3)  # a row's state; DEEP: of over 8 bits, the upper ones of 16 stored
ROW = np.dtype(
    [
        ("state", "u1"),
        ("digest", DIGEST),
        ("md5", "V16"),  # of the file
        ("width", "<i4"),
        ("height", "<i4"),
        ("peak", "<i4"),
    ]
)
CHUNK = 256  # rows that are read at once


class Unfinished:
    """Images by row, as far as they are decoded."""

    def __init__(self, rows: np.ndarray, pixels: int, image_px: int) -> None:
        """Take the rows, (N,) ROW mapped from their file, and the open file of the pixels."""
        self.rows = rows
        self._pixels = pixels
        self._shape = (image_px, image_px, 3)
        self._n_bytes = image_px**2 * 3

    def put(self, image: Decoded, picture: Picture, *, deep: bool = False) -> None:
        pixels = np.ascontiguousarray(picture.pixels).data
        os.pwrite(self._pixels, pixels, image.row * self._n_bytes)
        state = DEEP if deep else DONE
        self.rows[image.row] = (state, image.digest, image.md5, *picture.size_px, picture.peak)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the pixels of rows, (n,): (n, P, P, 3) uint8."""
        images = np.empty((len(rows), *self._shape), np.uint8)
        for image, row in zip(images, rows.tolist(), strict=True):
            os.preadv(self._pixels, [image.data], row * self._n_bytes)
        return images

    def take(self, images: Iterable[Decoded], title: str, count: int) -> dict[int, str]:
        """Put images as they come, and return why some cannot be read, by row."""
        faults: dict[int, str] = {}
        for image in track(images, title, count):
            if image.picture:
                self.put(image, image.picture, deep=image.picture.peak > 0)
            else:
                faults[image.row] = image.fault
        return faults

    def find(self, state: int) -> np.ndarray:
        return np.flatnonzero(self.rows["state"] == state)

    def drop_damaged(self) -> None:
        """Forget rows whose pixels did not reach the disk, as when the power failed."""
        there = np.flatnonzero(self.rows["state"] != MISSING)
        for chunk in np.split(there, range(CHUNK, len(there), CHUNK)):
            for row, image in zip(chunk, self.read(chunk), strict=True):
                if digest_pixels(image) != self.rows["digest"][row].ljust(DIGEST.itemsize, b"\0"):
                    self.rows["state"][row] = MISSING


@contextmanager
def open_unfinished(folder: Path, count: int, image_px: int) -> Iterator[Unfinished]:
    """Go on with what a folder holds of so many images, or begin there.

    Raises:
        OSError: there is no room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, n_bytes = folder / "pixels", count * image_px**2 * 3
    with (
        path.open("ab"),
        path.open("rb+", buffering=0) as pixels,
        (folder / "rows").open("ab") as file,
    ):
        try:
            reserve(pixels, n_bytes)
            file.truncate(count * ROW.itemsize)
        except OSError as error:
            error.filename = error.filename or str(path)
            raise
        rows = np.memmap(folder / "rows", ROW, "r+", shape=(count,))
        unfinished = Unfinished(rows, pixels.fileno(), image_px)
        unfinished.drop_damaged()
        yield unfinished
