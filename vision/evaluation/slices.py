"""Where a model is weak: its accuracy on slices of the test images, by what they look like or are.

Intervals are corrected for the number of slices (Bonferroni), as the weakest of many looks weak by
chance alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

FEWEST = 20  # images of a slice; smaller ones say little
PARTS = 4  # that numbers are cut into, of about equally many images
PART_NAMES = ("lowest quarter", "second quarter", "third quarter", "highest quarter")
NAMED = ("class",)  # attributes whose values are names, such as the digit 7
FEW_VALUES = 8  # numbers of no more values are taken as they are
SQUARE = 0.05  # sides that differ by no more, relative to the longer one
SAMPLED_PX = 32  # of each side are looked at, for brightness and contrast
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of red, green and blue, ITU-R BT.709


@dataclass(frozen=True)
class Slice:
    """Some of the test images, and how many of them a model gets right."""

    attribute: str
    value: str
    n: int
    accuracy: float
    low: float
    high: float


def measure_pixels(batches: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the brightness of each image and its contrast, in percent of the largest value.

    Contrast is the standard deviation of the luminance.

    Args:
        batches: of images, (B, P, P, 3) uint8.
    """
    means, deviations = [], []
    for images in batches:
        step = max(1, images.shape[1] // SAMPLED_PX)
        luminance = images[:, ::step, ::step] @ LUMINANCE / 255
        means.append(luminance.mean((1, 2)))
        deviations.append(luminance.std((1, 2)))
    found = {"brightness": means, "contrast": deviations}
    return {name: 100 * np.concatenate(values) for name, values in found.items()}


def measure_sides(widths: Sequence[str], heights: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the size of each original, the square root of its pixels, and its aspect.

    Args:
        widths, heights: in pixels; "" or 0 where they are not known.
    """
    width, height = (np.array([int(each or 0) for each in side]) for side in (widths, heights))
    if not (width * height).all():
        return {}
    gap = (width - height) / np.maximum(width, height)
    aspect = np.where(gap > SQUARE, "wider than tall", "square")
    aspect = np.where(gap < -SQUARE, "taller than wide", aspect)
    return {"size of the original": np.sqrt(width * height), "aspect of the original": aspect}


def find_slices(
    attributes: Mapping[str, np.ndarray | Sequence[str]], right: np.ndarray, confidence: float
) -> list[Slice]:
    """Return every slice of FEWEST images or more, the lowest accuracy first.

    Args:
        attributes: by name, (n,) numbers or texts; "" is not known. Attributes of which all
            images share a value are left out.
        right: (n,) bool.
        confidence: of all intervals together.
    """
    masks = [
        (name, value, mask)
        for name, values in attributes.items()
        for value, mask in _cut(np.asarray(values), is_named=name in NAMED)
    ]
    masks = [each for each in masks if FEWEST <= each[2].sum() < len(right)]
    if not masks:
        return []
    counts = np.array([mask.sum() for *_, mask in masks])
    hits = np.array([right[mask].sum() for *_, mask in masks])
    lows, highs = bound_together(hits, counts, confidence)
    found = [
        Slice(name, value, int(n), float(hit / n), float(low), float(high))
        for (name, value, _), n, hit, low, high in zip(
            masks, counts, hits, lows, highs, strict=True
        )
    ]
    return sorted(found, key=lambda each: (each.accuracy, -each.n))


def bound_together(
    hits: np.ndarray, n: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return intervals of shares that all hold at once with `confidence`, (shares,) each.

    Clopper and Pearson's exact ones at Bonferroni's level: far out in the tails, where that level
    lies for many shares, Wilson's are too narrow.
    """
    tail = (1 - confidence) / len(n) / 2
    low, high = beta.ppf(tail, hits, n - hits + 1), beta.ppf(1 - tail, hits + 1, n - hits)
    return np.where(hits > 0, low, 0.0), np.where(hits < n, high, 1.0)


def _cut(values: np.ndarray, is_named: bool) -> list[tuple[str, np.ndarray]]:
    """Return the name and the images of each slice, masks of (n,).

    Args:
        is_named: values are names, even where they look like numbers.
    """
    numbers = None if is_named else to_numbers(values)
    if numbers is None:
        names, counts = np.unique(values, return_counts=True)
        often = names[(counts >= FEWEST) & (names != "")]
        return [(str(name), values == name) for name in often]
    known = np.isfinite(numbers)
    distinct = np.unique(numbers[known])
    if len(distinct) <= FEW_VALUES:
        return [(f"{value:g}", numbers == value) for value in distinct]
    edges = np.quantile(numbers[known], np.linspace(0, 1, PARTS + 1)[1:-1])
    parts = np.where(known, np.searchsorted(edges, numbers), -1)
    return [
        (f"{PART_NAMES[part]} ({_span(numbers[parts == part])})", parts == part)
        for part in range(PARTS)
        if (parts == part).any()
    ]


def to_numbers(values: np.ndarray) -> np.ndarray | None:
    """Return float64, NaN where a text is empty, or None if a text is no number."""
    if values.dtype.kind not in "US":
        numbers: np.ndarray = values.astype(np.float64)
        return numbers
    try:
        return np.array([float(value) if value else np.nan for value in values.tolist()])
    except ValueError:
        return None


def _span(numbers: np.ndarray) -> str:
    return f"{numbers.min():.3g} to {numbers.max():.3g}"
