"""The parts that a report is made of; the templates say how each looks in Markdown and HTML."""

from dataclasses import dataclass


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
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    file: str  # in reports/figures
    caption: str
    alt: str
    marks: str = ""
    min_rem: int = 36  # narrower pages scroll it sideways, so that its text can be read
    kind: str = "picture"


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: in Markdown its picture, in HTML a table whose cells show images."""

    picture: Picture
    sheet: str  # name of the sheet of images, without spaces
    classes: tuple[str, ...]
    rows: list[list[int]]  # of the true classes
    kind: str = "matrix"


Block = Text | Items | Table | Picture | Matrix


@dataclass(frozen=True)
class Section:
    title: str
    blocks: list[Block]
    level: int = 2  # of its heading


@dataclass(frozen=True)
class Report:
    title: str
    sections: list[Section]
