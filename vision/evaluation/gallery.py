"""Which test images to show: the surest mistakes, those behind each cell of a confusion matrix."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vision.evaluation.probabilities import Scores

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
        notes: what each tile shows.
    """

    jpeg: bytes
    columns: int
    rows: int
    tiles: dict[tuple[int, int], list[int]]
    notes: list[str]


def find_mistakes(scores: Scores, labels: np.ndarray, count: int) -> list[Mistake]:
    """Return the wrong predictions with the highest confidence, the surest first.

    Args:
        labels: (n,) indices of classes.
    """
    wrong = np.flatnonzero(scores.predicted != labels)
    surest = wrong[np.argsort(-scores.confidence[wrong], kind="stable")][:count]
    return [
        Mistake(int(i), int(labels[i]), int(scores.predicted[i]), float(scores.confidence[i]))
        for i in surest
    ]


def pick_by_cell(
    scores: Scores, labels: np.ndarray, per_cell: int, limit: int
) -> dict[tuple[int, int], list[int]]:
    """Return test images for the cells of a confusion matrix, (true, predicted).

    In a cell, mistakes come the surest first, right predictions the least sure first. Where all
    cells together would hold more than `limit` images, right predictions go without before
    mistakes do, and then the cells with the fewest images.
    """
    predicted, wrong = scores.predicted, scores.predicted != labels
    sureness = scores.confidence * np.where(wrong, -1, 1)
    order = np.lexsort((sureness, predicted, labels))
    cells = np.stack([labels[order], predicted[order]], 1)
    starts = np.flatnonzero(np.any(cells[1:] != cells[:-1], axis=1)) + 1
    groups = np.split(order, starts) if len(order) else []
    kept: dict[tuple[int, int], list[int]] = {}
    for group in sorted(groups, key=lambda group: (not wrong[group[0]], -len(group))):
        chosen = group[:per_cell].tolist()
        if limit < len(chosen):
            break
        limit -= len(chosen)
        kept[int(labels[chosen[0]]), int(predicted[chosen[0]])] = chosen
    return dict(sorted(kept.items()))


def make_sheet(
    read: Callable[[int], np.ndarray],
    cells: dict[tuple[int, int], list[int]],
    describe: Callable[[int], str],
) -> Sheet:
    """Draw the images of the cells side by side.

    Args:
        read: returns the image, (P, P, 3) uint8, at a position that `cells` holds.
        describe: says what the image at a position is.
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
    return Sheet(file.getvalue(), columns, rows, tiles, [describe(i) for i in positions])
