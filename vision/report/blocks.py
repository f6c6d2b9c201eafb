"""The parts that a report is made of; the templates say how each looks in Markdown and HTML."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Text:
    text: str
    marks: str = ""  # of the stand-ins that it rests on
    kind: str = "text"


@dataclass(frozen=True)
class Items:
    """Short texts, each under a name."""

    items: list[tuple[str, str]]
    anchor: str = ""  # what links point at
    kind: str = "items"


@dataclass(frozen=True)
class Table:
    caption: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    marks: str = ""
    n_left: int = 1  # columns of words, set left; the others are figures, set right
    n_fixed: int = 0  # rows at the end that sorting leaves there, such as averages
    is_sortable: bool = False
    n_shown: int | None = None  # rows that Markdown shows; the page shows all
    kind: str = "table"

    @property
    def is_cut(self) -> bool:
        """Whether Markdown leaves rows out."""
        return self.n_shown is not None and len(self.rows) - self.n_fixed > self.n_shown

    @property
    def first_rows(self) -> list[tuple[str, ...]]:
        """The rows that Markdown shows: the first ones, and those at the end."""
        end = len(self.rows) - self.n_fixed
        return self.rows[: self.n_shown] + self.rows[end:] if self.is_cut else self.rows


@dataclass(frozen=True)
class Picture:
    file: str  # in reports/figures
    caption: str
    alt: str
    marks: str = ""
    min_rem: int = 36  # narrower pages scroll it sideways, so that its text can be read
    kind: str = "picture"


@dataclass(frozen=True)
class Tile:
    """One of the figures that stand first."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Tiles:
    tiles: list[Tile]
    marks: str = ""
    kind: str = "tiles"


@dataclass(frozen=True)
class Drawn:
    """In Markdown a picture; in HTML drawn by a script, which can be asked."""

    picture: Picture

    @property
    def marks(self) -> str:
        return self.picture.marks


@dataclass(frozen=True)
class Chart(Drawn):
    """A chart of the same numbers, by charts.js."""

    data: dict[str, Any]  # as vision/report/charts.py describes it
    kind: str = "chart"


@dataclass(frozen=True)
class Matrix(Drawn):
    """A confusion matrix."""

    sheet: str  # name of the sheet of images
    label: str  # of the model
    classes: tuple[str, ...]
    counts: np.ndarray  # (classes, classes) of images; rows are the true classes
    order: list[int]  # of the classes, those that are confused side by side
    kind: str = "matrix"


@dataclass(frozen=True)
class Difference(Drawn):
    """One matrix minus another; in HTML any two."""

    names: tuple[str, str]  # of the matrices that are subtracted at first
    kind: str = "difference"


@dataclass(frozen=True)
class Map(Drawn):
    """Points, each of which is an image."""

    data: dict[str, Any]  # as vision/report/charts.py describes it
    sheet: str  # name of the sheet of images, one for each point
    kind: str = "map"


Block = Text | Items | Table | Picture | Tiles | Chart | Matrix | Difference | Map


@dataclass(frozen=True)
class Section:
    title: str
    blocks: list[Block]
    level: int = 2  # of its heading
    name: str = ""  # in addresses, where it is not made of the title

    @property
    def anchor(self) -> str:
        """What links point at."""
        return self.name or "-".join(re.findall(r"\w+", self.title.lower())) or "section"


@dataclass(frozen=True)
class Report:
    title: str
    sections: list[Section]
