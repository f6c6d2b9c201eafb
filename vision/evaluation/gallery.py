"""Which test images to show: the surest mistakes, those behind each cell of a confusion matrix."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.special import softmax

TILE_PX = 48  # side of a tile at most; smaller images are shown as they are
COLUMNS = 24  # of tiles in a sheet
JPEG_QUALITY = 85


@dataclass(frozen=True)
class Mistake:
    """A test image that a model takes for something else."""

    position: int  # among the test images
    true: int
    predicted: int
    confidence: float


@dataclass(frozen=True)
class Sheet:
    """Images side by side in one JPEG, and which of them belong to each cell of a matrix.

    Attributes:
        tiles: (true, predicted) -> numbers of tiles, counted along the rows.
    """

    jpeg: bytes
    columns: int
    rows: int
    tiles: dict[tuple[int, int], list[int]]


def find_mistakes(logits: np.ndarray, labels: np.ndarray, count: int) -> list[Mistake]:
    """Return the wrong predictions with the highest confidence, the surest first.

    Args:
        logits: (n, classes) float32.
        labels: (n,) indices of classes.
    """
    confidence, predicted = decide(logits)
    wrong = np.flatnonzero(predicted != labels)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    return [
        Mistake(int(i), int(labels[i]), int(predicted[i]), float(confidence[i])) for i in surest
    ]


def pick_by_cell(
    logits: np.ndarray, labels: np.ndarray, per_cell: int, limit: int
) -> dict[tuple[int, int], list[int]]:
    """Return test images for the cells of a confusion matrix, (true, predicted).

    Mistakes come the surest first, right predictions the least sure first. Where all cells
    together would hold more than `limit` images, those with the fewest images go without.
    """
    confidence, predicted = decide(logits)
    cells: dict[tuple[int, int], list[int]] = {}
    for true, guess in sorted({*zip(labels.tolist(), predicted.tolist(), strict=True)}):
        inside = np.flatnonzero((labels == true) & (predicted == guess))
        sureness = confidence[inside] * (1 if true == guess else -1)
        cells[true, guess] = inside[np.argsort(sureness, kind="stable")].tolist()
    kept: dict[tuple[int, int], list[int]] = {}
    for cell in sorted(cells, key=lambda cell: (-len(cells[cell]), cell)):
        chosen = cells[cell][:per_cell]
        if limit < len(chosen):
            break
        limit -= len(chosen)
        kept[cell] = chosen
    return dict(sorted(kept.items()))


def make_sheet(read: Callable[[int], np.ndarray], cells: dict[tuple[int, int], list[int]]) -> Sheet:
    """Draw the images of the cells side by side.

    Args:
        read: returns the image, (P, P, 3) uint8, at a position that `cells` holds.
    """
    positions = list(dict.fromkeys(i for chosen in cells.values() for i in chosen))
    side = min(len(read(positions[0])), TILE_PX)
    columns = max(1, min(COLUMNS, len(positions)))
    rows = max(1, -(-len(positions) // columns))
    sheet = Image.new("RGB", (columns * side, rows * side), "white")
    for number, position in enumerate(positions):
        tile = Image.fromarray(read(position)).resize((side, side), Image.Resampling.BICUBIC)
        sheet.paste(tile, (number % columns * side, number // columns * side))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=JPEG_QUALITY)
    numbers = {position: number for number, position in enumerate(positions)}
    tiles = {cell: [numbers[i] for i in chosen] for cell, chosen in cells.items()}
    return Sheet(file.getvalue(), columns, rows, tiles)


def decide(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence and the class of each prediction."""
    probabilities = softmax(logits.astype(np.float64), axis=1)
    return probabilities.max(1), probabilities.argmax(1)
