"""Images in a folder on the disk or in an archive: which files are images, and their pixels.

Files that are no images, told by their first bytes, are left out and counted. Where an image
belongs, layouts.py says by its name.
"""

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from vision.base.errors import DataError, SourceError
from vision.data.archives import read_heads, read_members
from vision.data.decoding import Decoded, decode_files
from vision.data.formats import (
    FORMATS,
    HEAD_BYTES,
    HEIC,
    HEIC_PACKAGE,
    can_read_heic,
    find_format,
)
from vision.data.images import FULL_BITS
from vision.data.labels import find_labelled, read_table
from vision.data.layouts import (
    NEEDS,
    FlatError,
    Layout,
    Place,
    check_classes,
    find_layout,
    list_classes,
)
from vision.data.shards import CROP
from vision.data.surveys import (
    FEW,
    count_suffixes,
    describe_left_out,
    join_some,
    show,
)

CLUTTER = ("__macosx",)  # and all that starts with a dot
TABLES = (".csv", ".parquet")


class Files(NamedTuple):
    """What a folder or an archive holds."""

    where: str  # its name, for messages
    images: dict[str, str]  # name and format of each, sorted
    others: list[str]  # names of files that are no images, sorted
    names: Collection[str]  # of all files, and of folders with a `/` at the end


@dataclass(frozen=True)
class Tree:
    """Images as a folder or an archive holds them; their pixels come when they are asked for."""

    path: Path
    places: list[Place]  # (N,)
    classes: list[str]
    facts: dict[str, Any] = field(default_factory=dict)  # for the manifest, where there are any
    remarks: list[str] = field(default_factory=list)  # lines for the stage's output

    def read(
        self,
        image_px: int,
        rows: Collection[int] | None = None,
        bits: int = FULL_BITS,
        fit: str = CROP,
    ) -> Iterator[Decoded]:
        """Decode images, in any order; those that cannot be read come with the reason.

        Args:
            rows: that are wanted; all, where left out.
            bits: that hold the values of images with more than 8 bits.
            fit: see `fit_square`.
        """
        chosen = range(len(self.places)) if rows is None else rows
        wanted = {self.places[row].name: int(row) for row in chosen}
        return decode_files(read_files(self.path, wanted), wanted, image_px, bits, fit)


def open_tree(path: Path) -> Tree:
    """List and check the images of a folder or an archive by their class folders.

    Raises:
        SourceError: a member, a link or the layout is refused.
        DataError: there are too few classes, or a subset lacks one.
    """
    return find_tree(path, list_files(path))


def open_labelled_tree(path: Path, labels: str, *, skip: bool) -> Tree:
    """List and check the images of a folder or an archive by a table of labels.

    Args:
        labels: the table's name inside the folder or archive.
        skip: rows without a file are left out, and said.

    Raises:
        SourceError: the table cannot be read, or a row names no file and none may be skipped.
        DataError: there are too few classes, or a subset lacks one.
    """
    files = list_files(path)
    return find_labelled_tree(path, files, *_load_table(path, labels, files.names), skip=skip)


def find_tree(path: Path, files: Files) -> Tree:
    """Give each image its class by the folders that it lies in; see `open_tree`."""
    try:
        layout = find_layout(files.images, files.where)
    except FlatError as error:
        raise FlatError(f"{error}{_suggest_table(files.others)}") from None
    return make_tree(path, layout, files)


def find_labelled_tree(path: Path, files: Files, table: str, content: bytes, *, skip: bool) -> Tree:
    """Give each image its class by a table, one of the files; see `open_labelled_tree`."""
    layout, missing = find_labelled(read_table(table, content), files.images, table)
    if not layout.places:
        raise DataError(f"{table} has no label for any image of {files.where}: compare their names")
    facts: dict[str, Any] = {
        "labels": {"name": table, "sha256": hashlib.sha256(content).hexdigest()}
    }
    remarks = []
    if missing:
        facts["missing"] = {"count": len(missing), "first": [show(row) for row in missing[:FEW]]}
        some = join_some(facts["missing"]["first"], FEW, len(missing))
        remarks = [f"{len(missing):,} rows of {table} name no image of {files.where}: {some}"]
        if not skip:
            raise SourceError(f"{remarks[0]}; mend them, or set data.broken: skip")
    others = [name for name in files.others if name != table]
    tree = make_tree(path, layout, files._replace(others=others))
    return replace(tree, facts=tree.facts | facts, remarks=[*tree.remarks, *remarks])


def make_tree(path: Path, layout: Layout, files: Files) -> Tree:
    """Check a layout, and say what is left out."""
    where = files.where
    unread = {
        name for name, format_ in files.images.items() if format_ == HEIC and not can_read_heic()
    }
    places = [place for place in layout.places if place.name not in unread]
    if layout.class_depth is not None:
        _check_folders(layout.class_depth, files.names, where)
    if lost := sorted({place.class_name for place in layout.places} - {*list_classes(places)}):
        raise DataError(
            f"{where} has images of {', '.join(lost)} in HEIC alone: pip install {HEIC_PACKAGE}"
        )
    check_classes(places, where)
    facts, remarks = {}, list(layout.remarks)
    if left_out := sorted([*files.others, *unread]):
        facts["left_out"] = describe_files(left_out)
        remarks.append(describe_left_out(facts["left_out"]))
    if unread:
        remarks.append(f"{len(unread):,} of them are photos in HEIC: pip install {HEIC_PACKAGE}")
    if unlabelled := [name for name in layout.unlabelled if name not in unread]:
        facts["unlabelled"] = describe_files(unlabelled)
        remarks.append(f"{len(unlabelled):,} without labels: pipeline predict")
    return Tree(path, places, list_classes(places), facts, remarks)


def list_files(path: Path) -> Files:
    """List what a folder or an archive holds; hidden files are left out."""
    heads = list_heads(path)
    return Files(path.name, *sort_files(heads, path.name), heads)


def describe_files(names: list[str]) -> dict[str, Any]:
    """Return count, kinds by suffix, and the first names."""
    first = [show(name) for name in sorted(names)[:FEW]]
    return {"count": len(names), "kinds": count_suffixes(names), "first": first}


def sort_files(heads: dict[str, bytes], where: str) -> tuple[dict[str, str], list[str]]:
    """Tell images from other files by their first bytes, or by a suffix that claims an image.

    Args:
        heads: name and first bytes of each file; folders have a `/` at the end.

    Returns:
        Name and format of each image, and the names of the other files; both sorted.

    Raises:
        SourceError: there are no images.
    """
    images: dict[str, str] = {}
    others = []
    for name in sorted(name for name in heads if not name.endswith("/")):
        suffix = PurePosixPath(name).suffix.lower()
        if format_ := find_format(heads[name]) or FORMATS.get(suffix):
            images[name] = format_
        else:
            others.append(name)
    if not images:
        found = join_some([f"{n} {kind}" for kind, n in count_suffixes(others).items()], FEW)
        beside = f", but {found}" if others else ""
        raise SourceError(f"{where}/ holds no images{beside}: {NEEDS}")
    return images, others


def list_heads(path: Path) -> dict[str, bytes]:
    """Return the first bytes of each file by its name; folders have a `/` at the end.

    Hidden files are left out.
    """
    if not path.is_dir():
        return {name: head for name, head in read_heads(path).items() if not _is_clutter(name)}
    heads = {}
    for name in list_folder(path):
        heads[name] = b"" if name.endswith("/") else _read_file(path, name, HEAD_BYTES)
    return heads


def read_files(path: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of files of a folder or an archive, in any order."""
    return read_folder(path, names) if path.is_dir() else read_members(path, names)


def list_folder(root: Path) -> list[str]:
    """Return the names of all files, and of folders with a `/` at the end; refuse links out."""

    def refuse(error: OSError) -> None:
        raise SourceError(f"{root.name} cannot be read: {error}")

    names = []
    for folder, subfolders, files in os.walk(root, onerror=refuse):
        inside = PurePosixPath(Path(folder).relative_to(root).as_posix())
        names += [f"{inside / name}/" for name in subfolders]
        names += [str(inside / name) for name in files]
    names = [name for name in names if not _is_clutter(name)]
    for name in names:
        _check_entry(root, name)
    return names


def read_folder(root: Path, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        yield name, _read_file(root, name)


def digest_folder(root: Path, names: Iterable[str]) -> str:
    """Return the sha256 of the sorted names and contents: the same wherever the folder lies."""
    digest = hashlib.sha256()
    for name, content in read_folder(root, sorted(names)):
        digest.update(hashlib.sha256(name.encode(errors="surrogateescape")).digest())
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _check_entry(root: Path, name: str) -> None:
    path, is_folder = f"{root}/{name.rstrip('/')}", name.endswith("/")
    is_link = os.path.islink(path)  # noqa: PTH114 - a Path takes longer to make
    if is_link and (is_folder or not Path(path).resolve().is_relative_to(root.resolve())):
        raise SourceError(
            f"{root.name}/{name} is a link to a folder or out of {root.name}: copy it"
        )
    if not (is_folder or os.path.isfile(path)):  # noqa: PTH113
        raise SourceError(f"{root.name}/{name} is not a file that can be read: remove it")


def _read_file(root: Path, name: str, n_bytes: int = -1) -> bytes:
    try:
        with open(f"{root}/{name}", "rb") as file:  # noqa: PTH123 - a Path takes longer to make
            return file.read(n_bytes)
    except OSError as error:
        raise SourceError(f"{root.name}/{name} cannot be read: {error.strerror}") from None


def _check_folders(class_depth: int, names: Collection[str], where: str) -> None:
    """Raise an error for a class folder without any file."""
    folders = {name.rstrip("/").rpartition("/")[0] for name in names}
    filled = folders | {str(parent) for name in folders for parent in PurePosixPath(name).parents}
    for name in sorted(name for name in names if name.endswith("/")):
        if name[:-1] not in filled and name.count("/") == class_depth + 1:
            raise SourceError(f"{where}/{name} holds no images: {NEEDS}")


def _load_table(path: Path, labels: str, names: Collection[str]) -> tuple[str, bytes]:
    """Return a table's name inside the folder or archive, where DVC watches it, and its content."""
    file = path / labels
    if path.is_dir() and file.is_file() and file.resolve().is_relative_to(path.resolve()):
        return file.resolve().relative_to(path.resolve()).as_posix(), file.read_bytes()
    if not path.is_dir() and (found := find_packed_table(path, labels, names)):
        return found
    raise SourceError(
        f"data.labels is {labels!r}, which {path.name} does not hold: put the .csv or .parquet "
        "file there, so that DVC sees when it changes"
    )


def find_packed_table(path: Path, labels: str, names: Iterable[str]) -> tuple[str, bytes] | None:
    """Return name and content of the table of an archive whose path ends so, if there is one."""
    ends = [name for name in names if f"/{name}".endswith(f"/{labels}")]
    return next(read_members(path, ends[:1]), None)


def _suggest_table(others: list[str]) -> str:
    tables = [name for name in others if name.lower().endswith(TABLES) and "/" not in name]
    return f"; data.labels: {show(tables[0])} would read their labels" if tables else ""


def _is_clutter(name: str) -> bool:
    return any(part.startswith(".") or part.lower() in CLUTTER for part in name.split("/"))
