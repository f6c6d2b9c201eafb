"""Write data/raw, see dataset.py, from images that come in any order."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vision.base.errors import DataError
from vision.base.fetch import require_space
from vision.base.files import replacing, reserve, write_array, write_json
from vision.base.progress import track
from vision.data.dataset import Subset
from vision.data.images import FULL_BITS
from vision.data.surveys import (
    FEW,
    Survey,
    check_faults,
    describe_sizes,
    join_some,
    show,
)

BROKEN_FILE = "broken.txt"  # beside data/raw: the files that cannot be read
OWN = ("folder", "archive")  # sources of people's own photos
CHUNK = 256  # images that are moved at once
Pixels = Iterable[tuple[int, np.ndarray]]  # row and (P, P, 3) uint8 of each image, in any order


@dataclass(frozen=True)
class RawImages:
    """A data set that is ready to be written; its pixels come when they are asked for."""

    classes: list[str]
    labels: np.ndarray  # (N,) int64
    subsets: np.ndarray  # (N,) uint8, of `Subset`
    pixels: Pixels
    provenance: dict[str, Any]  # source, official, name, sha256, verified, note
    remarks: list[str] = field(default_factory=list)  # lines for the stage's output
    survey: Survey | None = None  # of people's own images, filled as the pixels come
    again: Callable[[Collection[int], int], Pixels] | None = None  # rows and bits -> pixels anew


def save_raw(raw: RawImages, image_px: int, out: Path, broken: str = "fail") -> list[str]:
    """Write data/raw; images.npy grows on the disk, not in memory. The manifest comes last.

    Args:
        broken: `fail` or `skip`: what becomes of images that cannot be read.

    Returns:
        Lines that say what is stored, and what is not.

    Raises:
        ImageError: images cannot be read, and are not to be skipped.
        DataError: without them a class has no images.
    """
    out.mkdir(parents=True, exist_ok=True)
    require_space(out, len(raw.labels) * image_px**2 * 3)
    with replacing(out / "images.npy") as temporary:
        write_images(raw, image_px, temporary)
        if survey := raw.survey:
            check_faults(survey, broken, out.parent / BROKEN_FILE)
            raw = leave_out(raw, survey, image_px)
            close_up(temporary, [*survey.faults])
    write_array(out / "labels.npy", raw.labels)
    write_array(out / "subsets.npy", raw.subsets)
    write_json(out / "classes.json", raw.classes)
    write_json(out / "manifest.json", describe(raw, image_px))
    return [raw.provenance["note"], *raw.remarks]


def write_images(raw: RawImages, image_px: int, path: Path) -> None:
    """Write a .npy file, (N, P, P, 3) uint8; images that cannot be read are left black."""
    shape = (len(raw.labels), image_px, image_px, 3)
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    with path.open("rb+") as file:
        reserve(file, path.stat().st_size)
    for row, pixels in track(raw.pixels, "images", total=len(raw.labels)):
        images[row] = pixels
    if raw.survey and raw.again and (bits := raw.survey.bits) != FULL_BITS:
        deep = {int(row) for row in np.flatnonzero(raw.survey.peaks)}
        for row, pixels in track(raw.again(deep, bits), f"images of {bits} bits", total=len(deep)):
            images[row] = pixels
    images.flush()


def leave_out(raw: RawImages, survey: Survey, image_px: int) -> RawImages:
    """Return the data set without the images that cannot be read, and say so.

    Raises:
        DataError: a class, or a subset, loses all of its images.
    """
    is_own = raw.provenance["source"] in OWN
    remarks = [*raw.remarks, *(describe_sizes(survey, image_px) if is_own else [])]
    if survey.bits != FULL_BITS:
        remarks.append(f"grey of more than 8 bits: {survey.bits} hold all values, scaled to 8")
        raw = replace(raw, provenance=raw.provenance | {"bits": survey.bits})
    if not (rows := sorted(survey.faults)):
        return replace(raw, remarks=remarks)
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
    return replace(
        raw,
        labels=raw.labels[kept],
        subsets=raw.subsets[kept],
        provenance=raw.provenance | facts,
        remarks=remarks,
    )


def close_up(path: Path, rows: list[int]) -> None:
    """Take rows out of a .npy file in place: the bytes are those of a file without them."""
    if not rows:
        return
    images = np.load(path, mmap_mode="r+")
    kept = np.delete(np.arange(len(images)), rows)
    for start in range(0, len(kept), CHUNK):
        chunk = kept[start : start + CHUNK]
        images[start : start + len(chunk)] = images[chunk]
    images.flush()
    header = np.lib.format.header_data_from_array_1_0(images[: len(kept)])
    with path.open("rb+") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + images[: len(kept)].nbytes)


def describe(raw: RawImages, image_px: int) -> dict[str, Any]:
    """Return the manifest: provenance and counts."""
    counts = {subset.name.lower(): int((raw.subsets == subset).sum()) for subset in Subset}
    n_images, n_classes = len(raw.labels), len(raw.classes)
    size = {"image_px": image_px, "n_images": n_images, "n_classes": n_classes}
    return raw.provenance | size | {"counts": counts}
