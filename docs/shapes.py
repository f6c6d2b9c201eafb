"""Draw a small folder of photos to learn from: circles, squares and triangles.

Run: python -m docs.shapes photos
"""

import argparse
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

Shape = Callable[[ImageDraw.ImageDraw, float, float, float, str], None]
SIDE_PX = 96
PER_CLASS = 40
COLOURS = {  # each class has one colour of its own and shares two
    "circle": ("royalblue", "seagreen", "purple"),
    "square": ("crimson", "seagreen", "darkorange"),
    "triangle": ("gold", "purple", "darkorange"),
}


def draw_circle(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, colour: str) -> None:
    draw.circle((x, y), r, colour)


def draw_square(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, colour: str) -> None:
    draw.regular_polygon((x, y, r * 1.2), 4, random.randrange(-15, 15), colour)


def draw_triangle(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, colour: str) -> None:
    draw.regular_polygon((x, y, r * 1.2), 3, random.randrange(-15, 15), colour)


SHAPES: dict[str, Shape] = {
    "circle": draw_circle,
    "square": draw_square,
    "triangle": draw_triangle,
}


def draw_photo(name: str) -> Image.Image:
    """Return a square photo of a shape whose colour, place and size are drawn at random."""
    grey = random.randrange(150, 256)
    photo = Image.new("RGB", (SIDE_PX, SIDE_PX), (grey, grey, grey))
    x, y = (random.uniform(0.35, 0.65) * SIDE_PX for _ in range(2))
    radius = random.uniform(0.2, 0.3) * SIDE_PX
    SHAPES[name](ImageDraw.Draw(photo), x, y, radius, random.choice(COLOURS[name]))
    return photo


def write_photos(folder: Path, per_class: int = PER_CLASS, seed: int = 0) -> None:
    """Write per_class PNG files to each of folder/circle, folder/square and folder/triangle."""
    random.seed(seed)
    for name in SHAPES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            draw_photo(name).save(folder / name / f"{number:03}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw circles, squares and triangles.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--per-class", type=int, default=PER_CLASS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_photos(arguments.folder, arguments.per_class, arguments.seed)
    print(f"{arguments.folder}: {arguments.per_class} photos of each of {', '.join(SHAPES)}")


if __name__ == "__main__":
    main()
