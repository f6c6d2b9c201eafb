"""Find subsets and classes in the names of image files.

CLASS/IMAGE, or train/CLASS/IMAGE with test/ and val/ beside train/; folders may wrap it all, and an
image below CLASS, at any depth, belongs to CLASS. An image's subset, class and file name give its
place: no order of a disk or an archive can change it.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby
from pathlib import PurePosixPath
from typing import NamedTuple

from vision.base.errors import DataError, SourceError
from vision.data.dataset import Subset
from vision.data.surveys import FEW, join_some, show

SUBSETS = {
    **dict.fromkeys(("train", "training"), Subset.TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), Subset.VAL),
    **dict.fromkeys(("test", "testing"), Subset.TEST),
}
NEEDS = "it needs CLASS/IMAGE, or train/CLASS/IMAGE and test/CLASS/IMAGE"


class Place(NamedTuple):
    """Where an image belongs. Sorting places sorts the images."""

    subset: Subset
    class_name: str  # in Unicode's composed form, NFC
    file: str
    name: str  # in the folder or archive
    more: tuple[tuple[str, str], ...] = ()  # what else a table says: columns and their texts


class Layout(NamedTuple):
    """What the names of files say."""

    places: list[Place]
    unlabelled: list[str]  # images of folders without class folders, beside train/
    class_depth: int | None  # of folders above the class folders, if there are such
    remarks: list[str]  # lines about classes that may be none


class FlatError(SourceError):
    """There are images, and no class folders: a table of labels may know their classes."""


def find_subset(name: str) -> Subset | None:
    return SUBSETS.get(name.strip().casefold())


def find_layout(names: Iterable[str], where: str) -> Layout:
    """Give each image its subset and class.

    Args:
        names: of images, one at least, in their folder or archive.
        where: the folder or archive, for messages.

    Raises:
        FlatError: there are no class folders.
        SourceError: an image lies where none can be.
    """
    paths = {name: PurePosixPath(name).parts for name in sorted(names)}
    depth = _count_wrappers(list(paths.values()), where)
    inner = {name: parts[depth:] for name, parts in paths.items()}
    split = _find_subsets(inner, where)
    flat = _find_flat(inner, split, where)
    places = []
    for name, parts in inner.items():
        if name in flat:
            continue
        class_name = unicodedata.normalize("NFC", parts[1 if split else 0])
        if not class_name.isprintable():
            raise SourceError(f"{where}: the class name {class_name!r} cannot be shown: rename it")
        subset = split[parts[0]] if split else Subset.TRAIN
        places.append(Place(subset, class_name, "/".join(parts[2 if split else 1 :]), name))
    joined = sorted(_join_spellings(places))
    remarks = [*describe_spellings(places, joined), *_describe_copies(joined)]
    return Layout(joined, flat, depth + bool(split), remarks)


def list_classes(places: list[Place]) -> list[str]:
    return sorted({place.class_name for place in places})


def check_classes(places: list[Place], where: str) -> None:
    """Raise an error unless there are two classes, each of them in each subset.

    Raises:
        DataError: naming the subset and the classes that it lacks, or the only class.
    """
    found = defaultdict(dict)  # type: defaultdict[Subset, dict[str, str]]
    for place in places:
        found[place.subset][fold(place.class_name)] = place.class_name
    classes = {key: name for names in found.values() for key, name in names.items()}
    if len(list_classes(places)) < 2:
        raise DataError(f"{where} holds one class, {classes.popitem()[1]}: it needs two or more")
    for subset, names in found.items():
        if missing := sorted(classes[key] for key in classes.keys() - names.keys()):
            which = f"{where}/{subset.name.lower()}"
            raise DataError(f"{which} has no images of {', '.join(missing)}: add some")


def fold(class_name: str) -> str:
    """Return what two spellings of a class share: case and blanks do not count."""
    return "".join(class_name.casefold().split())


def _count_wrappers(paths: list[tuple[str, ...]], where: str) -> int:
    """Return how many folders wrap all images and are neither a subset nor a class."""
    depth = 0
    while len({parts[depth] for parts in paths}) == 1 and not find_subset(paths[0][depth]):
        rests = [len(parts) - depth for parts in paths]
        if max(rests) > 2 == min(rests):
            stray = paths[rests.index(2)]
            raise SourceError(f"{where}: {'/'.join(stray)!r} lies beside the folders: move it")
        if min(rests) <= 2:
            break
        depth += 1
    return depth


def _find_subsets(inner: dict[str, tuple[str, ...]], where: str) -> dict[str, Subset]:
    """Return the subset of each top folder; nothing, if the top folders are classes."""
    tops = sorted({parts[0] for parts in inner.values() if len(parts) > 1})
    split = {top: subset for top in tops if (subset := find_subset(top)) is not None}
    with_classes = {parts[0] for parts in inner.values() if len(parts) > 2}
    others = [top for top in tops if top not in split]
    if others and Subset.TRAIN not in {split.get(top) for top in with_classes}:
        return {}
    if strange := [top for top in others if top in with_classes]:
        raise SourceError(
            f"{where} has {', '.join(strange)} beside {', '.join(split)}: move or rename it"
        )
    if not split:
        return {}
    if Subset.TRAIN not in split.values():
        raise SourceError(f"{where} has no train/ beside {', '.join(tops)}")
    if len(set(split.values())) < len(split):
        raise SourceError(
            f"{where} has two folders of one subset among {', '.join(tops)}: join them"
        )
    return split


def _find_flat(
    inner: dict[str, tuple[str, ...]], split: dict[str, Subset], where: str
) -> list[str]:
    """Return the images in folders without class folders inside, beside a train/ that has some."""
    needed = 3 if split else 2
    flat = [name for name, parts in inner.items() if len(parts) < needed]
    if len(flat) == len(inner):
        tops = " and ".join(f"{top}/" for top in split) or "images"
        raise FlatError(f"{where} has {tops} without class folders inside: {NEEDS}")
    mixed = {parts[0] for parts in inner.values() if len(parts) >= needed}
    for name in flat:
        top = inner[name][0]
        if not split or len(inner[name]) < 2 or top in mixed or split.get(top) == Subset.TRAIN:
            raise SourceError(f"{where}: {name!r} is not where an image can be: {NEEDS}")
    return flat


def _join_spellings(places: list[Place]) -> list[Place]:
    """Give a class the spelling of train/, where no subset has it in two spellings."""
    spellings = defaultdict(lambda: defaultdict(set))  # type: ignore[var-annotated]
    for place in places:
        spellings[fold(place.class_name)][place.subset].add(place.class_name)
    chosen = {
        key: next(iter(subsets[min(subsets)]))
        for key, subsets in spellings.items()
        if all(len(names) == 1 for names in subsets.values())
    }
    return [
        place._replace(class_name=chosen.get(fold(place.class_name), place.class_name))
        for place in places
    ]


def describe_spellings(before: list[Place], after: list[Place]) -> list[str]:
    """Return a line if names of classes differ in case or blanks alone."""
    kept = list_classes(after)
    alike = [list(group) for _, group in groupby(sorted(list_classes(before), key=fold), key=fold)]
    groups = []
    for names in alike:
        if len(names) > 1:
            outcome = "stay apart" if {*names} <= {*kept} else "are one class"
            groups.append(f"{' and '.join(map(repr, sorted(names)))} {outcome}")
    return [f"classes differ in case or blanks alone: {'; '.join(groups)}"] if groups else []


def _describe_copies(places: list[Place]) -> list[str]:
    """Return a line if all classes have the same folders, as images/CLASS and masks/CLASS."""
    inside = defaultdict(set)
    for place in places:
        inside[place.class_name].add(place.file.partition("/")[0] if "/" in place.file else "")
    first, *others = inside.values()
    if len(first) < 2 or "" in first or any(folders != first for folders in others):
        return []
    tops, below = (join_some(sorted(map(show, names)), FEW) for names in (inside, first))
    return [
        f"classes are {tops}, though each holds {below}: if these are the classes, give one "
        "of the former as data.source"
    ]
