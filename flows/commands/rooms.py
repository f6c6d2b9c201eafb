"""Draw which room imports which, with the modules in each. Run: make rooms"""

import io
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from flows.engine.imports import PACKAGES, find_file, list_imports
from vision.base.files import write_bytes

PICTURE = Path("docs/pictures/rooms.svg")
BOX_WIDTH, STEP = 2.4, 1.9  # inches: a box with the gap beside it, a floor
COLOURS = {"flows": "#e8eefc", "stages": "#e6f4ea", "vision": "#fdf1e0"}
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "rooms",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
}


def main() -> None:
    write_bytes(PICTURE, draw_rooms())
    print(PICTURE)


def draw_rooms(root: Path = Path()) -> bytes:
    """Return an SVG: a box for each room, an arrow to each room that it imports from.

    A room stands one floor above the highest that it imports. An arrow is the thicker, the more
    modules of the one import modules of the other; it is grey where other arrows lead there too.
    """
    rooms, arrows = list_rooms(root), count_imports(root)
    places = _place(arrows)
    width = max(x for x, _ in places.values()) + BOX_WIDTH
    height = (max(y for _, y in places.values()) + 1) * STEP
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
        axes.set_axis_off()
        boxes = {
            room: FancyBboxPatch(
                (x, y * STEP + 0.3),
                BOX_WIDTH - 0.5,
                STEP - 0.6,
                boxstyle="round,pad=0.05",
                facecolor=COLOURS[room.partition("/")[0]],
                edgecolor="#667085",
            )
            for room, (x, y) in places.items()
        }
        for (importer, imported), count in arrows.items():
            implied = _is_implied(importer, imported, arrows)
            axes.add_patch(
                FancyArrowPatch(
                    _middle(boxes[importer]),
                    _middle(boxes[imported]),
                    patchA=boxes[importer],
                    patchB=boxes[imported],
                    arrowstyle="-|>",
                    mutation_scale=12,
                    linewidth=0.6 + 0.15 * min(count, 12),
                    color="#d0d5dd" if implied else "#475467",
                    zorder=1 if implied else 2,
                )
            )
        for room, box in boxes.items():
            axes.add_patch(box)
            box.set_zorder(3)
            x, top = _middle(box)[0], box.get_y() + box.get_height()
            axes.text(x, top, room, ha="center", va="top", weight="bold", size=10, zorder=4)
            lines = textwrap.wrap(", ".join(rooms[room]), 31, break_on_hyphens=False)
            axes.text(x, top - 0.24, "\n".join(lines), ha="center", va="top", size=7, zorder=4)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def list_rooms(root: Path = Path()) -> dict[str, list[str]]:
    """Return the modules of each room."""
    rooms: dict[str, list[str]] = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            if path.stem != "__init__":
                rooms.setdefault(_room(path.relative_to(root)), []).append(path.stem)
    return rooms


def count_imports(root: Path = Path()) -> Counter[tuple[str, str]]:
    """Return how many modules of a room import modules of another, by (importer, imported)."""
    found: Counter[tuple[str, str]] = Counter()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            ours = _room(path.relative_to(root))
            files = filter(None, (find_file(name, root) for name in list_imports(path)))
            found.update((ours, theirs) for theirs in sorted({*map(_room, files)} - {ours}))
    return found


def _room(path: Path) -> str:
    return str(path.parent)


def _place(arrows: Counter[tuple[str, str]]) -> dict[str, tuple[float, int]]:
    """Return where each room stands: inches from the left, and its floor."""
    floors = _find_floors(arrows)
    rows: dict[int, list[str]] = {}
    for room in sorted(floors):
        rows.setdefault(floors[room], []).append(room)
    width = BOX_WIDTH * max(map(len, rows.values()))
    places = {}
    for floor, row in rows.items():
        for number, room in enumerate(row):
            places[room] = (width * (number + 0.5) / len(row) - BOX_WIDTH / 2 + 0.2, floor)
    return places


def _is_implied(importer: str, imported: str, arrows: Counter[tuple[str, str]]) -> bool:
    """Say whether other arrows, two or more, lead from one room to the other."""

    def leads(room: str) -> bool:
        return room == imported or any(leads(end) for start, end in arrows if start == room)

    ends = [end for start, end in arrows if start == importer and end != imported]
    return any(map(leads, ends))


def _find_floors(arrows: Counter[tuple[str, str]]) -> dict[str, int]:
    """Return for each room the length of its longest way down."""
    below: dict[str, set[str]] = {}
    for importer, imported in arrows:
        below.setdefault(importer, set()).add(imported)
        below.setdefault(imported, set())

    def find(room: str) -> int:
        return 1 + max(map(find, below[room]), default=-1)

    return {room: find(room) for room in below}


def _middle(box: FancyBboxPatch) -> tuple[float, float]:
    return box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2


if __name__ == "__main__":
    main()
