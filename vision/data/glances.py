"""Look at some images of a folder or an archive before all are read: how large are they?"""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from vision.base.errors import PipelineError
from vision.data.archives import read_members
from vision.data.formats import HEAD_BYTES, find_format
from vision.data.images import read_side_px

IMAGES = 15  # that are looked at
MOST_FILES = 300  # that are opened for them, at most
FILES_PER_FOLDER = 5
MOST_BYTES = 16 * 2**20  # that are read of one: its size stands near its start


class _All:
    def __contains__(self, name: object) -> bool:
        return True


def glance_side_px(path: Path) -> int | None:
    """Return the median shorter side of the first images, or None where none can be read."""
    try:
        files = _iterate_folder(path) if path.is_dir() else _iterate_archive(path)
        sides = map(read_side_px, islice(files, MOST_FILES))
        known = list(islice(filter(None, sides), IMAGES))
    except (PipelineError, OSError):  # `download` says what is wrong
        return None
    return int(np.median(known)) if known else None


def _iterate_folder(path: Path) -> Iterator[bytes]:
    for folder, _, names in os.walk(path):
        paths = [Path(folder) / name for name in names[:FILES_PER_FOLDER]]
        for each in filter(Path.is_file, paths):
            with each.open("rb") as file:
                head = file.read(HEAD_BYTES)
                yield head + file.read(MOST_BYTES) if find_format(head) else b""


def _iterate_archive(path: Path) -> Iterator[bytes]:
    for _, content in read_members(path, _All()):
        yield content
