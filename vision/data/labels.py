"""Read a table of labels, CSV or Parquet, and find the files that its rows name."""

import io
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import repeat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from vision.base.errors import SourceError
from vision.data.dataset import Subset
from vision.data.layouts import SUBSETS, Layout, Place, describe_spellings, find_subset
from vision.data.surveys import SHOWN, join_some, show

if TYPE_CHECKING:
    import pandas as pd

# Names of columns, in lower case and without blanks and signs.
FILE = {"file", "filename", "filepath", "image", "imagename", "imageid", "imagepath", "img", "path"}
FILE_ELSE = {"id", "name"}  # mean the file where no other column does
LABEL = {"label", "labels", "class", "classname", "classid", "category", "categoryid", "target"}
LABEL |= {"noisylabels0"}  # of Imagenette: the one without noise
GROUP = {"group", "groupid"}  # images that belong together
GROUPED = "group"  # what their column is called in the table of files
SUBSET = {"subset", "split", "set", "partition", "isvalid"}
TRUTH = {"true": Subset.VAL, "1": Subset.VAL, "false": Subset.TRAIN, "0": Subset.TRAIN}
SEPARATORS = ",;\t"


class Row(NamedTuple):
    """One row of a table."""

    file: str  # as the table has it, with / between folders
    label: str  # the class; empty, if it is not known
    subset: Subset | None  # where the table says so
    more: tuple[tuple[str, str], ...] = ()  # its other columns and what they have here


class Labelled(NamedTuple):
    """What a table says of images."""

    layout: Layout
    missing: list[str]  # files of rows that are not there


def read_table(name: str, content: bytes) -> list[Row]:
    """Read files, labels, subsets if there are any, and all other columns as they are.

    That of the groups, of images that belong together, is called `group` whatever its name.

    Args:
        name: of the table, for messages; `.parquet` tells what it is, all else is CSV.

    Raises:
        SourceError: it cannot be read, or its columns are not known or not clear.
    """
    table = _parse(name, content)
    columns = [str(column) for column in table.columns]
    table.columns = columns
    file = _find_column(name, columns, FILE, "file") or _find_column(
        name, columns, FILE_ELSE, "file"
    )
    label = _find_column(name, columns, LABEL, "label")
    subset = _find_column(name, columns, SUBSET, "subset")
    group = _find_column(name, columns, GROUP, "group")
    if not (file and label):
        raise SourceError(
            f"{name} has the columns {_list(columns)}: one must be called file, one label"
        )
    others = [column for column in columns if column not in (file, label, subset)]
    titles = [GROUPED if each == group else each.strip() for each in others]
    texts = (
        zip(*(table[each].str.strip() for each in others), strict=True) if others else repeat(())
    )
    subsets = table[subset] if subset else repeat("")
    rows = zip(table[file], table[label], subsets, texts)  # noqa: B905 - some repeat without end
    return [
        Row(
            file=_clean_path(path),
            label=unicodedata.normalize("NFC", class_name),
            subset=_parse_subset(name, part),
            more=tuple(zip(titles, more, strict=True)),
        )
        for path, class_name, part, more in rows
        if path.strip()
    ]


def find_labelled(rows: Iterable[Row], images: Iterable[str], table: str) -> Labelled:
    """Give images the classes of their rows; those without are not labelled.

    A row may name a file by its path, by the end of its path, or by a longer one; with its suffix
    or without. Of several, those in a folder called as the table, or in train/, come first. Where
    the table has no subsets, folders such as train/ and test/ around all labelled images are.

    Args:
        table: its name.

    Raises:
        SourceError: a row names several files, or two rows give a file different labels.
    """
    finder = _Finder(images, table)
    found: dict[str, Row] = {}
    missing = []
    for row in rows:
        if not (name := finder.find(row.file)):
            missing.append(row.file)
        elif row.label and found.setdefault(name, row).label != row.label:
            labels = f"{show(found[name].label)} and {show(row.label)}"
            raise SourceError(f"{table} has two labels for {show(name)}: {labels}")
    subsets = _find_folders(found)
    places = [
        Place(subsets[name] if row.subset is None else row.subset, row.label, name, name, row.more)
        for name, row in found.items()
    ]
    if bad := sorted({place.class_name for place in places if not place.class_name.isprintable()}):
        raise SourceError(f"{table}: the class name {bad[0]!r} cannot be shown: rename it")
    unlabelled = sorted(finder.images - found.keys())
    remarks = describe_spellings(places, places)
    return Labelled(Layout(sorted(places), unlabelled, None, remarks), missing)


class _Finder:
    """Finds images by what a table calls them."""

    def __init__(self, images: Iterable[str], table: str) -> None:
        self.images = set(images)
        self.table = table
        self.stem = PurePosixPath(table).stem.casefold()
        self.by_name = defaultdict(list)
        for image in sorted(self.images):
            path = PurePosixPath(_clean_path(image))
            for key in {path.name, path.stem}:
                self.by_name[key].append(image)

    def find(self, file: str) -> str | None:
        """Return the image that a row names, or none.

        Raises:
            SourceError: there are several.
        """
        if file in self.images:
            return file
        wanted = PurePosixPath(file).parts
        found = [image for image in self.by_name.get(wanted[-1], ()) if _agree(image, wanted)]
        if len(found) > 1:
            found = [image for image in found if self._is_preferred(image)] or found
        if len(found) > 1:
            files = join_some([show(image) for image in found], 3)
            raise SourceError(
                f"{self.table}: {show(file)} may be {files}: write paths with their folders"
            )
        return found[0] if found else None

    def _is_preferred(self, image: str) -> bool:
        folders = PurePosixPath(image).parts[:-1]
        return any(
            folder.casefold().startswith(self.stem) or find_subset(folder) == Subset.TRAIN
            for folder in folders
        )


def _agree(image: str, wanted: tuple[str, ...]) -> bool:
    """Tell whether of two paths one is the other's end; the last parts are known to agree."""
    folders = PurePosixPath(_clean_path(image)).parts[-2::-1]
    return all(a == b for a, b in zip(folders, wanted[-2::-1], strict=False))


def _find_folders(names: Iterable[str]) -> dict[str, Subset]:
    """Return each image's subset by its folders: train for all, unless all lie in such folders."""
    found = {}
    for name in names:
        known = (find_subset(folder) for folder in PurePosixPath(name).parts[:-1])
        found[name] = next((subset for subset in known if subset is not None), None)
    sure = {name: subset for name, subset in found.items() if subset is not None}
    if len(sure) == len(found) and Subset.TRAIN in sure.values():
        return sure
    return dict.fromkeys(found, Subset.TRAIN)


def _parse(name: str, content: bytes) -> "pd.DataFrame":
    """Return all columns as text; what a table lacks is an empty text."""
    import pandas as pd  # takes half a second, for few

    try:
        if name.lower().endswith(".parquet"):
            return pd.read_parquet(io.BytesIO(content)).astype(object).fillna("").astype(str)
        text = _decode(content)
        counts = Counter(text.partition("\n")[0])
        separator = max(SEPARATORS, key=lambda sign: counts[sign])
        return pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    except ImportError:
        raise SourceError(
            f"{name} needs a reader of Parquet: pip install pyarrow, or save it as CSV"
        ) from None
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise SourceError(f"{name} cannot be read as a table: {reason}") from None


def _decode(content: bytes) -> str:
    """Return the text of a CSV file: UTF-8, or what Windows wrote before it."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _find_column(table: str, columns: Sequence[str], names: set[str], what: str) -> str | None:
    found = [column for column in columns if re.sub(r"[\W_]", "", column.casefold()) in names]
    if len(found) > 1:
        raise SourceError(
            f"{table} has several columns for the {what}, {_list(found)}, among {_list(columns)}: "
            "keep one"
        )
    return found[0] if found else None


def _parse_subset(table: str, text: str) -> Subset | None:
    if not (value := text.strip()):
        return None
    subset = find_subset(value)
    subset = TRUTH.get(value.casefold()) if subset is None else subset
    if subset is None:
        raise SourceError(
            f"{table} has the subset {show(value)!r}: choose from {', '.join(SUBSETS)}"
        )
    return subset


def _clean_path(text: str) -> str:
    path = unicodedata.normalize("NFC", text.strip()).replace("\\", "/")
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _list(columns: Sequence[str]) -> str:
    return join_some([show(column) for column in columns], SHOWN)
