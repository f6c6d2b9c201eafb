"""The data set on disk: images, labels and indices as .npy, read by memory map.

data/raw/
    images/         (N, H, W, 3) uint8, RGB, in shards: see shards.py
    labels.npy      (N,) int64, an index into classes.json
    subsets.npy     (N,) uint8, what the source says of each image: 0 train, 1 val, 2 test
    classes.json    the class names, in the order of the labels
    files.csv       of each row: its file in the source, label, subset, the original's size and md5
    manifest.json   where the images came from, with checksums
data/split/
    train.npy, val.npy, test.npy    sorted int64 indices into the rows of images/
    summary.json                    images per subset and class
"""

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from vision.base.files import read_array, read_json
from vision.data.shards import CROP, Images, open_images

RAW_DIR = Path("data/raw")
SPLIT_DIR = Path("data/split")
FILES = "files.csv"  # in data/raw, as is:
MANIFEST = "manifest.json"


class Subset(IntEnum):
    TRAIN = 0
    VAL = 1
    TEST = 2


@dataclass(frozen=True)
class ImageSet:
    """Images of one subset, left on disk until they are indexed."""

    images: np.ndarray | Images  # (N, H, W, 3) uint8, of the whole data set
    labels: np.ndarray  # (N,) int64, of the whole data set
    indices: np.ndarray  # (n,) int64, the images of this subset
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def get_labels(self) -> np.ndarray:
        """Return the labels of this subset's images: (n,) int64."""
        labels: np.ndarray = self.labels[self.indices]
        return labels

    @property
    def image_px(self) -> int:
        """Side of the stored squares."""
        return int(self.images.shape[1])

    @property
    def fit(self) -> str:
        """How oblong images became squares."""
        return self.images.fit if isinstance(self.images, Images) else CROP


def load_split(name: str, raw: Path = RAW_DIR, split: Path = SPLIT_DIR) -> ImageSet:
    """Open the `train`, `val` or `test` images. No training opens `test`."""
    return ImageSet(
        images=open_images(raw / "images"),
        labels=np.asarray(read_array(raw / "labels.npy")),
        indices=np.asarray(read_array(split / f"{name}.npy")),
        classes=tuple(read_json(raw / "classes.json")),
    )


def load_manifest(raw: Path = RAW_DIR) -> dict[str, Any]:
    manifest: dict[str, Any] = read_json(raw / MANIFEST)
    return manifest
