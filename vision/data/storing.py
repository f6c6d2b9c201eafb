"""Write data/raw, see dataset.py, from images that come in any order."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from vision.base.errors import DataError
from vision.base.fetch import require_space
from vision.base.files import replacing, write_array, write_json
from vision.base.kept import drop_older, remove
from vision.base.progress import track
from vision.data.dataset import FILES, MANIFEST, Subset
from vision.data.decoding import Decoded
from vision.data.images import FULL_BITS
from vision.data.sharding import write_fit, write_shards
from vision.data.shards import CROP
from vision.data.surveys import (
    FEW,
    Survey,
    check_faults,
    describe_sizes,
    join_some,
    show,
)
from vision.data.unfinished import DEEP, MISSING, Unfinished, open_unfinished

BROKEN_FILE = "broken.txt"  # beside data/raw: the files that cannot be read
UNFINISHED = "unfinished"  # beside data/raw, while it is made, where nothing is kept
LOCK = "images.lock"  # beside what is kept
OWN = ("folder", "archive")  # sources of people's own photos
COLUMNS = ("file", "label", "subset", "width", "height", "md5")  # of FILES, and first in it


@dataclass(frozen=True)
class RawImages:
    """A data set that is ready to be written; its pixels come when they are asked for."""

    classes: list[str]
    labels: np.ndarray  # (N,) int64
    subsets: np.ndarray  # (N,) uint8, of `Subset`
    names: Sequence[str]  # (N,) of the files in their source
    read: Callable[[Iterable[int], int], Iterator[Decoded]]  # rows, bits -> images in any order
    provenance: dict[str, Any]  # source, official, name, sha256, verified, note
    remarks: list[str] = field(default_factory=list)  # lines for the stage's output
    fit: str = CROP  # how oblong ones become squares
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)  # (N,) each, from a table


def save_raw(
    raw: RawImages, image_px: int, out: Path, broken: str = "fail", place: Path | None = None
) -> list[str]:
    """Write data/raw, its images one shard at a time. The manifest comes last.

    Args:
        broken: `fail` or `skip`: what becomes of images that cannot be read.
        place: where decoded images are kept, and found if a run before this one was ended.

    Returns:
        Lines that say what is stored, and what is not.

    Raises:
        ImageError: images cannot be read, and are not to be skipped.
        DataError: without them a class has no images.
    """
    out.mkdir(parents=True, exist_ok=True)
    with open_place(out, place) as folder:
        held = sum(file.stat().st_size for file in folder.glob("*"))  # by a run before this one
        require_space(out, 2 * len(raw.labels) * image_px**2 * 3 - held)
        with open_unfinished(folder, len(raw.labels), image_px) as images:
            if found := len(raw.labels) - len(images.find(MISSING)):
                total = f"{len(raw.labels):,}"
                print(f"going on: {found:,} of {total} images are decoded", flush=True)
            return save_decoded(raw, images, image_px, out, broken)


def save_decoded(
    raw: RawImages, images: Unfinished, image_px: int, out: Path, broken: str
) -> list[str]:
    """Write data/raw from images of which some, or all, are decoded; see `save_raw`."""
    survey = decode(raw, images)
    check_faults(survey, broken, out.parent / BROKEN_FILE)
    raw, rows = leave_out(raw, survey, image_px)
    digests = images.rows["digest"][rows]
    write_shards(out / "images", digests, lambda places: images.read(rows[places]))
    write_fit(out / "images", raw.fit)
    write_files(out / FILES, raw, images.rows[rows])
    write_array(out / "labels.npy", raw.labels)
    write_array(out / "subsets.npy", raw.subsets)
    write_json(out / "classes.json", raw.classes)
    write_json(out / MANIFEST, describe(raw, image_px))
    return [raw.provenance["note"], *raw.remarks]


@contextmanager
def open_place(out: Path, place: Path | None) -> Iterator[Path]:
    """Yield a folder for decoded images; it goes, unless one is kept and an error ends this.

    One process at a time uses what is kept; another beside it has a folder of its own.
    """
    with ExitStack() as stack:
        if place:
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(FileLock(place.with_name(LOCK), timeout=0))
                drop_older(place)
            except Timeout:
                place = None
        folder = place or out.with_name(UNFINISHED)
        if not place:
            remove(folder)
            stack.callback(remove, folder)
        yield folder
        remove(folder)


def decode(raw: RawImages, images: Unfinished) -> Survey:
    """Decode what is missing, and say what is known of all images."""
    missing = images.find(MISSING)
    faults = images.take(raw.read(missing, FULL_BITS), "images", len(missing))
    sizes = np.stack([images.rows["width"], images.rows["height"]], 1)
    survey = Survey(raw.names, faults, sizes, np.array(images.rows["peak"]))
    if survey.bits != FULL_BITS:
        deep = images.find(DEEP)
        title = f"images of {survey.bits} bits"
        for image in track(raw.read(deep, survey.bits), title, len(deep)):
            if image.picture:
                images.put(image, image.picture)
    return survey


def leave_out(raw: RawImages, survey: Survey, image_px: int) -> tuple[RawImages, np.ndarray]:
    """Return the data set without the images that cannot be read, said in it, and the rows left.

    Raises:
        DataError: a class, or a subset, loses all of its images.
    """
    is_own = raw.provenance["source"] in OWN
    remarks = [*raw.remarks, *(describe_sizes(survey, image_px) if is_own else [])]
    if survey.bits != FULL_BITS:
        remarks.append(f"values of more than 8 bits: {survey.bits} hold all values, scaled to 8")
        raw = replace(raw, provenance=raw.provenance | {"bits": survey.bits})
    if not (rows := sorted(survey.faults)):
        return replace(raw, remarks=remarks), np.arange(len(raw.labels))
    kept = np.ones(len(raw.labels), bool)
    kept[rows] = False
    for label, subset in {(raw.labels[row], raw.subsets[row]) for row in rows}:
        if not (kept & (raw.labels == label) & (raw.subsets == subset)).any():
            part = Subset(subset).name.lower()
            raise DataError(f"no image of {raw.classes[label]} in {part} can be read: add some")
    names = [show(survey.names[row]) for row in rows]
    remarks.append(f"skipped {len(rows):,} that cannot be read: {join_some(names, FEW)}")
    note = f"{raw.provenance['note'].removesuffix('.')}, less {len(rows):,} that cannot be read."
    facts = {"note": note, "skipped": {"count": len(rows), "names": names}}
    left = np.flatnonzero(kept)
    without = replace(
        raw,
        labels=raw.labels[left],
        subsets=raw.subsets[left],
        names=[raw.names[row] for row in left.tolist()],
        columns={
            title: [texts[row] for row in left.tolist()] for title, texts in raw.columns.items()
        },
        provenance=raw.provenance | facts,
        remarks=remarks,
    )
    return without, left


def write_files(path: Path, raw: RawImages, rows: np.ndarray) -> None:
    """Write the table of files: each image's name, class, subset, and what is known of its file.

    The columns of a table of labels follow; where one is called as ours, `(table)` tells it.

    Args:
        rows: (N,) ROW, of the images.
    """
    labels = (raw.classes[label] for label in raw.labels)
    subsets = (Subset(subset).name.lower() for subset in raw.subsets)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        theirs = [f"{title} (table)" if title in COLUMNS else title for title in raw.columns]
        table.writerow([*COLUMNS, *map(show, theirs)])
        every = zip(raw.names, labels, subsets, rows, *raw.columns.values(), strict=True)
        for name, label, subset, row, *more in every:
            md5 = row["md5"].tobytes()
            digest = md5.hex() if any(md5) else ""
            values = [show(name), label, subset, row["width"], row["height"], digest]
            table.writerow([*values, *map(show, more)])


def describe(raw: RawImages, image_px: int) -> dict[str, Any]:
    """Return the manifest: provenance and counts."""
    counts = {subset.name.lower(): int((raw.subsets == subset).sum()) for subset in Subset}
    n_images, n_classes = len(raw.labels), len(raw.classes)
    size = {"image_px": image_px, "n_images": n_images, "n_classes": n_classes}
    how = {} if raw.fit == CROP else {"fit": raw.fit}
    return raw.provenance | size | how | {"counts": counts}
