"""Several archives as one data set: what they would give if all were unpacked into one folder."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vision.base.errors import SourceError
from vision.base.fetch import name_of, require_space
from vision.base.kept import remove
from vision.data.decoding import Decoded
from vision.data.described import Part
from vision.data.images import FULL_BITS, Picture
from vision.data.parts import PIXELS, Kept, decode_part, find_kept, name_part
from vision.data.sources import make_raw
from vision.data.storing import UNFINISHED, RawImages, open_place, save_decoded
from vision.data.surveys import show
from vision.data.trees import Files, Tree, find_labelled_tree, find_tree
from vision.data.unfinished import Unfinished
from vision.schema.data import DataParams

ANEW = -1  # in place of a part's number: decoded anew


class Joined(Unfinished):
    """Images of several parts by row, all decoded; those that are put lie beside them."""

    def __init__(
        self, parts: Sequence[Kept], owners: np.ndarray, inside: np.ndarray, pixels: int
    ) -> None:
        """Take the part of each row, (N,) int64, its row in there, (N,) int64, and an open file."""
        starts = np.cumsum([0, *(len(part.rows) for part in parts)])
        rows = np.concatenate([part.rows for part in parts])[starts[owners] + inside]
        super().__init__(rows, pixels, parts[0].image_px)
        self._parts, self._owners, self._inside = parts, owners.copy(), inside

    def put(self, image: Decoded, picture: Picture, *, deep: bool = False) -> None:
        super().put(image, picture, deep=deep)
        self._owners[image.row] = ANEW

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the pixels of rows, (n,): (n, P, P, 3) uint8."""
        images, owners = np.empty((len(rows), *self._shape), np.uint8), self._owners[rows]
        for owner in np.unique(owners).tolist():
            chosen = np.flatnonzero(owners == owner)
            if owner == ANEW:
                images[chosen] = super().read(rows[chosen])
            else:
                images[chosen] = self._parts[owner].read(self._inside[rows[chosen]])
        return images


def save_parts(
    parts: Sequence[Part], params: DataParams, code: Mapping[str, str], out: Path
) -> list[str]:
    """Write data/raw from archives, each of which is decoded unless it is kept.

    Args:
        code: see `parts.digest_code`.

    Returns:
        Lines that say what is stored, and what is not.

    Raises:
        PipelineError: a part cannot be had or read, or they are no data set together.
    """
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        kept = [stack.enter_context(open_part(part, params, code, out)) for part in parts]
        raw, owners, inside = join(kept, params)
        require_space(out, len(owners) * params.image_px**2 * 3)
        folder = stack.enter_context(open_place(out, None))
        folder.mkdir()
        pixels = stack.enter_context((folder / PIXELS).open("wb+", buffering=0))
        images = Joined(kept, owners, inside, pixels.fileno())
        return save_decoded(raw, images, params.image_px, out, params.broken)


@contextmanager
def open_part(part: Part, params: DataParams, code: Mapping[str, str], out: Path) -> Iterator[Kept]:
    """Yield a part, decoded; it goes where nothing is kept."""
    name = name_part(part, params, code)
    if place := find_kept(name):
        yield decode_part(part, params, place)
        return
    folder = out.with_name(f"{UNFINISHED}-{part.number}")
    remove(folder)
    try:
        yield decode_part(part, params, folder / name)
    finally:
        remove(folder)


def join(parts: Sequence[Kept], params: DataParams) -> tuple[RawImages, np.ndarray, np.ndarray]:
    """Make one data set of parts.

    Returns:
        It, and for each of its rows the part, (N,) int64, and the row in there, (N,) int64.

    Raises:
        SourceError: two parts have the same file; the layout or the table of labels is refused.
        DataError: there are too few classes, or a subset lacks one.
    """
    places = find_places(parts)
    tree = _find_tree(parts, params, [*places])
    raw = make_raw(tree, params.image_px, describe_parts(parts, tree, params), params.fit)
    owners, inside = np.array([places[name] for name in raw.names], np.int64).T

    def read(rows: Iterable[int], bits: int) -> Iterator[Decoded]:
        """Say why images cannot be read; decode those of more than 8 bits anew."""
        wanted: dict[int, dict[str, int]] = {}
        for row in map(int, rows):
            wanted.setdefault(int(owners[row]), {})[raw.names[row]] = row
        for owner, names in sorted(wanted.items()):
            faults = parts[owner].listing.faults
            if bits == FULL_BITS:
                yield from (Decoded(row, fault=faults[name]) for name, row in names.items())
            else:
                yield from parts[owner].decode(names, bits, params.fit)

    return replace(raw, read=read), owners, inside


def find_places(parts: Sequence[Kept]) -> dict[str, tuple[int, int]]:
    """Return the part and the row in there of each image, by name; names sorted.

    Raises:
        SourceError: two parts have an image of the same name.
    """
    places: dict[str, tuple[int, int]] = {}
    for owner, kept in enumerate(parts):
        for row, name in enumerate(kept.listing.images):
            first, _ = places.setdefault(name, (owner, row))
            if first != owner:
                both = " and ".join(name_of(parts[each].part.url) for each in (first, owner))
                raise SourceError(f"{show(name)} is in {both}: each file may be in one part")
    return dict(sorted(places.items()))


def describe_parts(parts: Sequence[Kept], tree: Tree, params: DataParams) -> dict[str, Any]:
    """Return the provenance of a data set, for its manifest."""
    archives = [{"name": name_of(each.part.url), "sha256": each.listing.sha256} for each in parts]
    sums = "".join(sorted(each["sha256"] for each in archives))
    name, n_classes = Path(params.source).name, len(tree.classes)
    note = f"{len(tree.places):,} images in {n_classes} classes, from the archives of {name}."
    return {
        "source": "archive",
        "official": False,
        "name": name,
        "sha256": hashlib.sha256(sums.encode()).hexdigest(),
        "verified": None,
        "note": note,
        "parts": archives,
    }


def _find_tree(parts: Sequence[Kept], params: DataParams, images: Sequence[str]) -> Tree:
    path, listings = Path(params.source), [kept.listing for kept in parts]
    formats = {name: kind for each in listings for name, kind in each.images.items()}
    others = sorted({name for each in listings for name in each.others})
    folders = {name for each in listings for name in each.folders}
    names = sorted({*images, *others, *folders})
    files = Files(path.name, {name: formats[name] for name in images}, others, names)
    if not params.labels:
        return find_tree(path, files)
    table, content = _find_table(parts, params.labels)
    return find_labelled_tree(path, files, table, content, skip=params.broken == "skip")


def _find_table(parts: Sequence[Kept], labels: str) -> tuple[str, bytes]:
    tables = [table for kept in parts if (table := kept.table)]
    if len(tables) != 1:
        holders = "none" if not tables else f"{len(tables)}"
        raise SourceError(
            f"data.labels is {labels!r}, which {holders} of the parts hold: put it into one"
        )
    return tables[0]
