"""Draw what moves when a stage runs in a pool. Run: python -m docs.moves"""

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

PICTURE = Path("docs/pictures/moves.svg")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "moves",
    "font.family": "sans-serif",
}
INK, PALE, QUIET = "#1d2939", "#f2f4f7", "#475467"
WIDTH, HEIGHT, GAP = 2.9, 1.5, 0.4  # of a box, in inches
CLONES = {  # a box as high as all rows: x, title, text
    "home": (0.2, "Sender: your clone", "its plan and tasks\nits cache\ndvc.lock, restored by DVC"),
    "there": (9.9, "Worker: another clone", "a worktree of the commit\nits cache\nthe GPU"),
}
MIDDLE = 5.05
SHARED = [  # title, text, what goes there and comes back: with the sender, with the worker
    (
        "Prefect's server",
        "a work pool\nslots, logs, signs of life",
        ("order: stage, hashes", "lines, answer"),
        ("lines, answer", "order"),
    ),
    (
        "git's remote",
        "refs/pipeline/RUN/STAGE\ncode, params",
        ("a commit", ""),
        ("", "what is new"),
    ),
    (
        "DVC's remote",
        "objects by hash\ncheckpoints, bundles",
        ("deps it lacks", "outs, hashed"),
        ("outs it lacks", "deps, hashed"),
    ),
]


def main() -> None:
    PICTURE.write_bytes(draw_moves())


def draw_moves() -> bytes:
    """Return an SVG; the same bytes each time."""
    height = len(SHARED) * (HEIGHT + GAP)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, 13), ylim=(0, height))
        axes.axis("off")
        for x, title, text in CLONES.values():
            _draw_box(axes, x, GAP / 2, height - GAP, title, text)
        for row, (title, text, ours, theirs) in enumerate(SHARED):
            y = height - (row + 1) * (HEIGHT + GAP) + GAP / 2
            _draw_box(axes, MIDDLE, y, HEIGHT, title, text)
            left, right = CLONES["home"][0] + WIDTH, CLONES["there"][0]
            _draw_arrows(axes, left, MIDDLE, y, *ours)
            _draw_arrows(axes, right, MIDDLE + WIDTH, y, *theirs)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _draw_box(axes: Axes, x: float, y: float, height: float, title: str, text: str) -> None:
    style = "round,pad=0,rounding_size=0.12"
    shape = FancyBboxPatch((x, y), WIDTH, height, style, facecolor=PALE, edgecolor=INK)
    axes.add_patch(shape)
    middle, top = x + WIDTH / 2, y + height
    axes.text(middle, top - 0.25, title, ha="center", va="top", weight="bold", size=13, color=INK)
    axes.text(middle, top - 0.65, text, ha="center", va="top", size=11, color=INK, linespacing=1.4)


def _draw_arrows(
    axes: Axes, clone: float, shared: float, y: float, going: str, coming: str
) -> None:
    """Draw what goes from a clone to what is shared, and below it what comes back."""
    for text, start, end, part in ((going, clone, shared, 0.68), (coming, shared, clone, 0.28)):
        if text:
            height = y + HEIGHT * part
            ends = ((start, height), (end, height))
            arrow = FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=16, color=QUIET)
            axes.add_patch(arrow)
            axes.text(
                *((clone + shared) / 2, height + 0.06, text),
                ha="center",
                va="bottom",
                size=10.5,
                color=QUIET,
            )


if __name__ == "__main__":
    main()
