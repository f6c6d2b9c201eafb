"""Images in class folders, of a folder on the disk or of an archive.

CLASS/IMAGE, or train/CLASS/IMAGE with test/ and val/ beside train/; a single folder may wrap it
all. An image's subset, class and file name give its place: no order of a disk or an archive can
change it.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from vision.base.errors import DataError, ImageError, SourceError
from vision.data.archives import list_members, read_members
from vision.data.dataset import Subset
from vision.data.images import FORMATS, decode_image

CLUTTER = ("thumbs.db", "desktop.ini", "__macosx")  # and all that starts with a dot
CHUNK = 256  # files that are decoded side by side, and so held in memory
SMALL_BYTES = 32 * 2**10  # files below decode faster than they are handed to another thread
LAYOUTS = "CLASS/IMAGE, or train/CLASS/IMAGE and test/CLASS/IMAGE"


class Place(NamedTuple):
    """Where an image belongs. Sorting places sorts the images."""

    subset: Subset
    class_name: str
    file: str
    name: str  # in the folder or archive


class Tree(NamedTuple):
    """Images as a folder or an archive holds them: (N,) places, and pixels on demand."""

    places: list[Place]
    classes: list[str]
    read: Callable[[int], Iterator[tuple[int, np.ndarray]]]  # image_px -> row and (P, P, 3) uint8


def open_tree(path: Path) -> Tree:
    """List and check the images of a folder or an archive; their pixels wait for `read`.

    Raises:
        SourceError: a member, a link or the layout is refused.
        DataError: there are too few classes, or a subset lacks one.
    """
    names = list_folder(path) if path.is_dir() else list_members(path)
    places = arrange(names, path.name)
    rows = {place.name: row for row, place in enumerate(places)}

    def read(image_px: int) -> Iterator[tuple[int, np.ndarray]]:
        files = read_folder(path, rows) if path.is_dir() else read_members(path, rows)
        return decode_files(files, rows, image_px)

    return Tree(places, sorted({place.class_name for place in places}), read)


def arrange(names: Iterable[str], where: str) -> list[Place]:
    """Sort the files into subsets and classes.

    Args:
        names: of files, and of folders with a `/` at the end.
        where: the folder or archive, for messages.
    """
    clean = [name for name in names if not _is_clutter(name)]
    files = sorted(name for name in clean if not name.endswith("/"))
    for name in files:
        if PurePosixPath(name).suffix.lower() not in FORMATS:
            choices = ", ".join(FORMATS)
            raise ImageError(f"{where}: {name} is no image ({choices}): remove or convert it")
    filled = {str(parent) for name in files for parent in PurePosixPath(name).parents}
    empty = sorted(name for name in clean if name.endswith("/") and name[:-1] not in filled)
    if empty or not files:
        raise SourceError(
            f"{where}/{empty[0] if files else ''} holds no images: it needs {LAYOUTS}"
        )
    places = _place_all(files, where)
    _check_classes(places, where)
    return places


def decode_files(
    files: Iterator[tuple[str, bytes]], rows: dict[str, int], image_px: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the row and the pixels, (P, P, 3) uint8, of each file."""

    def decode(file: tuple[str, bytes]) -> tuple[int, np.ndarray]:
        name, content = file
        return rows[name], decode_image(content, name, image_px)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while chunk := list(islice(files, CHUNK)):
            large = sum(len(content) for _, content in chunk) > len(chunk) * SMALL_BYTES
            yield from (pool.map if large else map)(decode, chunk)


def list_folder(root: Path) -> list[str]:
    """Return the names of all files, and of folders with a `/` at the end; refuse links out."""

    def refuse(error: OSError) -> None:
        raise SourceError(f"{root.name} cannot be read: {error}")

    names = []
    for folder, subfolders, files in os.walk(root, onerror=refuse):
        inside = PurePosixPath(Path(folder).relative_to(root).as_posix())
        names += [f"{inside / name}/" for name in subfolders]
        names += [str(inside / name) for name in files]
    names = [name for name in names if not _is_clutter(name)]
    for name in names:
        _check_entry(root, name)
    return names


def read_folder(root: Path, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        try:
            content = (root / name).read_bytes()
        except OSError as error:
            raise SourceError(f"{root.name}/{name} cannot be read: {error.strerror}") from None
        yield name, content


def digest_folder(root: Path, names: Iterable[str]) -> str:
    """Return the sha256 of the sorted names and contents: the same wherever the folder lies."""
    digest = hashlib.sha256()
    for name, content in read_folder(root, sorted(names)):
        digest.update(hashlib.sha256(name.encode(errors="surrogateescape")).digest())
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _check_entry(root: Path, name: str) -> None:
    path, is_folder = root / name, name.endswith("/")
    if path.is_symlink() and (is_folder or not path.resolve().is_relative_to(root.resolve())):
        raise SourceError(
            f"{root.name}/{name} is a link to a folder or out of {root.name}: copy it"
        )
    if not (is_folder or path.is_file()):
        raise SourceError(f"{root.name}/{name} is not a file that can be read: remove it")


def _place_all(files: list[str], where: str) -> list[Place]:
    subsets = {subset.name.lower(): subset for subset in Subset}
    paths = [PurePosixPath(name).parts for name in files]
    tops = {parts[0] for parts in paths}
    wrapped = len(tops) == 1 and not tops & subsets.keys() and all(len(p) > 2 for p in paths)
    skipped = int(wrapped)
    tops = {parts[skipped] for parts in paths}
    split = tops <= subsets.keys()
    if split and "train" not in tops:
        raise SourceError(f"{where} has no train/ beside {', '.join(sorted(tops))}")
    places = []
    for name, parts in zip(files, paths, strict=True):
        if len(parts) != skipped + split + 2:
            raise SourceError(f"{where}: {name!r} is not where an image can be: it needs {LAYOUTS}")
        if not parts[-2].isprintable():
            raise SourceError(f"{where}: the class name {parts[-2]!r} cannot be shown: rename it")
        subset = subsets[parts[skipped]] if split else Subset.TRAIN
        places.append(Place(subset, parts[-2], parts[-1], name))
    return sorted(places)


def _check_classes(places: list[Place], where: str) -> None:
    found = {place.subset: set[str]() for place in places}
    for place in places:
        found[place.subset].add(place.class_name)
    classes = set.union(*found.values())
    if len(classes) < 2:
        raise DataError(f"{where} holds one class, {classes.pop()}: it needs two or more")
    for subset, names in found.items():
        if missing := sorted(classes - names):
            which = f"{where}/{subset.name.lower()}"
            raise DataError(f"{which} has no images of {', '.join(missing)}: add some")


def _is_clutter(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part.lower() in CLUTTER for part in parts)
