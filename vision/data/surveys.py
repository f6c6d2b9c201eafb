"""What one pass over all images found out: which cannot be read, and which are small or large."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vision.base.errors import ImageError
from vision.base.files import write_text
from vision.data.images import FULL_BITS, count_bits

SHOWN = 20  # names of broken files in an error; the rest stands in a file
NO_SUFFIX = "none"
FEW = 5  # names in a line of a stage's output
TOO_SMALL = 4  # an image with a side below image_px / 4 is far too small
TOO_LARGE = 8  # from this multiple of image_px on, most of a photo's detail is thrown away


@dataclass(frozen=True)
class Survey:
    """What is known of each image once all are decoded."""

    names: Sequence[str]  # (N,) of the files
    faults: Mapping[int, str]  # row and why it cannot be read
    sizes_px: np.ndarray  # (N, 2) int32, width and height of each original; 0 where unknown
    peaks: np.ndarray  # (N,) int32, largest value of pixels of over 8 bits

    @property
    def sides_px(self) -> np.ndarray:
        """The shorter side of each original: (N,) int32."""
        sides: np.ndarray = self.sizes_px.min(1)
        return sides

    @property
    def bits(self) -> int:
        """The fewest bits, 8 or more, that hold all values of more than 8 bits; else 16."""
        peak = int(self.peaks.max(initial=0))
        return count_bits(peak) if peak else FULL_BITS

    def list_faults(self) -> list[str]:
        return [f"{show(self.names[row])} ({why})" for row, why in sorted(self.faults.items())]


def check_faults(survey: Survey, broken: str, file: Path) -> None:
    """Write the files that cannot be read into `file`, a line each; without any, remove it.

    Args:
        broken: `fail` or `skip`, of `data.broken`.

    Raises:
        ImageError: there are some, and none may be skipped, or there are no others.
    """
    file.unlink(missing_ok=True)
    if not (faults := survey.list_faults()):
        return
    write_text(file, "".join(f"{fault}\n" for fault in faults))
    if broken == "fail" or len(faults) == len(survey.names):
        raise ImageError(
            f"{len(faults):,} of {len(survey.names):,} images cannot be read: "
            f"{join_some(faults, SHOWN)}: all are in {file}; mend or remove them, or set "
            "data.broken: skip"
        )


def describe_sizes(survey: Survey, image_px: int) -> list[str]:
    """Return lines about photos that are far too small, and about photos stored too small."""
    known = survey.sides_px[survey.sides_px > 0]
    lines = []
    small = np.flatnonzero((survey.sides_px > 0) & (survey.sides_px * TOO_SMALL < image_px))
    if len(small):
        names = [f"{show(survey.names[row])} ({survey.sides_px[row]} px)" for row in small[:FEW]]
        lines.append(
            f"{len(small):,} with a side below a quarter of data.image_px {image_px}: "
            f"{join_some(names, FEW, len(small))}"
        )
    return lines + describe_reduction(int(np.median(known)) if len(known) else 0, image_px)


def describe_reduction(side_px: int, image_px: int) -> list[str]:
    """Return the line about photos of which most is thrown away, if they are so large."""
    is_lost = side_px >= TOO_LARGE * image_px
    return [f"photos of {side_px:,} px stored at {image_px} px: set data.image_px"] * is_lost


def count_suffixes(names: Iterable[str]) -> dict[str, int]:
    """Count files by suffix, in lower case; files without one by NO_SUFFIX."""
    counts = Counter(PurePosixPath(name).suffix.lower() or NO_SUFFIX for name in names)
    return {show(suffix): counts[suffix] for suffix in sorted(counts)}


def describe_left_out(left_out: dict[str, Any]) -> str:
    """Return the line about files that are no images."""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in left_out["kinds"].items())
    some = join_some(left_out["first"], FEW, left_out["count"])
    return f"left out {left_out['count']:,} other files ({kinds}): {some}"


def join_some(names: Sequence[str], most: int, total: int | None = None) -> str:
    """Return the first names, and how many more there are."""
    more = (len(names) if total is None else total) - min(most, len(names))
    return ", ".join(names[:most]) + (f" and {more:,} more" if more else "")


def show(name: str) -> str:
    """Return a name as it stands in one line: what cannot be printed is escaped."""
    return name if name.isprintable() else ascii(name)[1:-1]
