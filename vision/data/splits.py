"""Deal images into train, val and test, so that each keeps its part when others come or go.

An image's place in [0, 1) is a hash of the seed and its own content, or its group's name: test
images lie below a bound, val images below the next. Images of equal content, or of one group, share
a place. Only a class that would have no image in a part is helped, by the image nearest to it.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vision.base.errors import DataError
from vision.data.dataset import Subset
from vision.schema.split import SplitParams

KEY = np.dtype("S16")  # of what decides on an image's place
MOST_NAMED = 10  # classes in a message


class Images(Protocol):
    def __getitem__(self, row: int, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Split:
    """Who is where.

    Attributes:
        indices: sorted, of each subset; those that the source has are kept as they are.
        rare: classes that are in train alone, and why: a line's worth each.
    """

    indices: dict[Subset, np.ndarray]
    rare: dict[str, str]


def split_images(
    keys: np.ndarray,
    labels: np.ndarray,
    subsets: np.ndarray,
    classes: Sequence[str],
    params: SplitParams,
    seed: int,
) -> Split:
    """Deal the images that the source calls train into the parts that the source lacks.

    Args:
        keys: (N,) KEY; images with equal ones stay together.
        labels: (N,) int64, indices of `classes`.
        subsets: (N,) uint8, what the source says of each image: a `Subset`.

    Raises:
        DataError: a class has too few images to be in each part, and `split.rare` is fail.
    """
    subsets = subsets.copy()
    bounds = find_bounds(subsets, params)
    dealt = np.flatnonzero(subsets == Subset.TRAIN)
    rare: dict[str, str] = {}
    if params.folds and not bounds:
        raise DataError(
            f"split.folds is {params.folds}, but the source has its own val and test images"
        )
    if bounds:
        unique, units = np.unique(keys[dealt], return_inverse=True)
        places = (place_keys(unique, seed) - params.offset) % 1
        dealer = _Dealer(places, units, labels[dealt], bounds)
        rare = {classes[label]: why for label, why in dealer.help_classes().items()}
        if rare and params.rare == "fail":
            raise DataError(_describe_rare(rare, bounds))
        subsets[dealt] = dealer.parts[units]
    return Split({subset: np.flatnonzero(subsets == subset) for subset in Subset}, rare)


def key_images(md5s: Sequence[str], images: Images) -> np.ndarray:
    """Return what tells the images of a data set apart: (N,) KEY.

    Args:
        md5s: (N,) of their files; where one is "", as of official data sets, the pixels count.
        images: row -> (H, W, 3) uint8.
    """
    keys = np.empty(len(md5s), KEY)
    for row, md5 in enumerate(md5s):
        pixels = b"" if md5 else images[row].tobytes()
        digest = bytes.fromhex(md5) if md5 else hashlib.sha256(pixels).digest()
        keys[row] = digest[: KEY.itemsize]
    return keys


def find_groups(names: Sequence[str], pattern: str) -> list[str]:
    """Return what a pattern finds in each file's name: its first group if it has any, or all of it.

    Names in which it finds nothing are in no group, "".

    Raises:
        DataError: it finds nothing in any.
    """
    found = [re.search(pattern, name) for name in names]
    if not any(found):
        raise DataError(f"split.group {pattern!r} is in no file's name, such as {names[0]}")
    return [(match[bool(match.re.groups)] or "") if match else "" for match in found]


def find_disputed(keys: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the rows of images that are there with equal content and another label."""
    _, units = np.unique(keys, return_inverse=True)
    lowest, highest = np.full(units.max() + 1, labels.max()), np.zeros(units.max() + 1, np.int64)
    np.minimum.at(lowest, units, labels)
    np.maximum.at(highest, units, labels)
    return np.flatnonzero((lowest < highest)[units])


def join_groups(keys: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Return keys, (N,) KEY, that are equal within a group and for images of equal content.

    Groups that share an image are one, named by the first of their hashes.

    Args:
        keys: (N,) KEY, of the images' content.
        groups: N names; images without one have "".
    """
    named = np.flatnonzero([bool(group) for group in groups])
    hashes = [hashlib.sha256(groups[int(row)].encode()).digest()[: KEY.itemsize] for row in named]
    contents, content_of = np.unique(keys, return_inverse=True)
    names, name_of = np.unique(np.array(hashes, KEY), return_inverse=True)
    n_nodes, links = len(contents) + len(names), (content_of[named], len(contents) + name_of)
    graph = coo_array((np.ones(len(named), bool), links), shape=(n_nodes, n_nodes))
    _, joined = connected_components(graph, directed=False)  # (contents and names,)
    first = dict(zip(joined[::-1].tolist(), [*contents, *names][::-1], strict=True))
    first |= dict(zip(joined[len(contents) :][::-1].tolist(), names[::-1], strict=True))
    return np.array([first[unit] for unit in joined[content_of].tolist()], KEY)


def find_bounds(subsets: np.ndarray, params: SplitParams) -> dict[Subset, tuple[float, float]]:
    """Return from where to where each part reaches in [0, 1); nothing if the source has them all.

    Test lies lowest, then val, then train.
    """
    test = 0.0 if (subsets == Subset.TEST).any() else params.test_share
    share = params.val_fraction if test or not params.folds else params.test_share
    val = 0.0 if (subsets == Subset.VAL).any() else share * (1 - test)
    ends = {Subset.TEST: (0.0, test), Subset.VAL: (test, test + val)}
    bounds = {subset: (low, high) for subset, (low, high) in ends.items() if high > low}
    return bounds | {Subset.TRAIN: (test + val, 1.0)} if bounds else {}


def place_keys(keys: np.ndarray, seed: int) -> np.ndarray:
    """Return a place in [0, 1) for each key: (n,) float64."""
    start = hashlib.sha256(f"{seed}:".encode())
    places = np.empty(len(keys))
    for row, key in enumerate(keys.tolist()):
        digest = start.copy()
        digest.update(key.ljust(KEY.itemsize, b"\0"))
        places[row] = int.from_bytes(digest.digest()[:6]) / 2**48
    return places


def join_rare(rare: dict[str, str]) -> str:
    """Return the names of classes, with what they have."""
    named = [f"{name} ({why})" for name, why in rare.items()]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return ", ".join(named[:MOST_NAMED]) + more


def count_classes(labels: np.ndarray, classes: list[str]) -> dict[str, int]:
    counts = np.bincount(labels, minlength=len(classes))
    return {name: int(count) for name, count in zip(classes, counts, strict=True)}


class _Dealer:
    """Deals units, images of one key, by their places; then helps classes that lack a part.

    Attributes:
        parts: (U,) uint8, the subset of each unit.
    """

    def __init__(
        self,
        places: np.ndarray,
        units: np.ndarray,
        labels: np.ndarray,
        bounds: dict[Subset, tuple[float, float]],
    ) -> None:
        """Take the place of each unit, (U,), and unit and label of each image, (n,)."""
        self.places, self.bounds = places, bounds
        self.images = np.bincount(labels)  # of each class
        self.parts = np.empty(len(places), np.uint8)
        for subset, (low, high) in bounds.items():
            self.parts[(places >= low) & (places < high)] = subset
        self.is_fixed = np.zeros(len(places), bool)  # units of classes that are in train alone
        pairs = np.unique(labels * len(places) + units)  # each class with each of its units
        self.labels, self.units = np.divmod(pairs, len(places))  # (M,) both, sorted
        self.starts = np.searchsorted(self.labels, np.arange(len(self.images) + 1))

    def help_classes(self) -> dict[int, str]:
        """See that each class has a unit in each part, as far as it has enough of them.

        Returns:
            The labels of those that have not, and what they have: they are in train alone.
        """
        sizes = np.diff(self.starts)
        few = np.flatnonzero((sizes > 0) & (sizes < len(self.bounds))).tolist()
        enough = np.flatnonzero(sizes >= len(self.bounds)).tolist()
        rare = {label: self._put_aside(label) for label in few}
        while failed := [label for label in enough if label not in rare and not self._help(label)]:
            rare[failed[0]] = self._put_aside(failed[0])  # others may have lost by it
        return dict(sorted(rare.items()))

    def _find_units(self, label: int) -> np.ndarray:
        return self.units[self.starts[label] : self.starts[label + 1]]

    def _help(self, label: int) -> bool:
        """Give a class a unit in each part that it lacks, and say whether it could be done."""
        return all(self._give(label, subset) for subset in self.bounds)

    def _give(self, label: int, subset: Subset) -> bool:
        """Give a class that lacks a part the nearest unit that no class would miss where it is."""
        own = self._find_units(label)
        if (self.parts[own] == subset).any():
            return True
        low, high = self.bounds[subset]
        far = np.maximum(low - self.places[own], self.places[own] - high)
        for unit in own[np.lexsort((own, far))]:
            others = self.labels[self.units == unit]
            if not (self.is_fixed[unit] or any(self._misses(other, unit) for other in others)):
                self.parts[unit] = subset
                return True
        return False

    def _misses(self, label: int, unit: int) -> bool:
        """Say whether a class has no unit but this one in its part."""
        others = self._find_units(label)
        return bool((self.parts[others] == self.parts[unit]).sum() < 2)

    def _put_aside(self, label: int) -> str:
        own = self._find_units(label)
        self.parts[own], self.is_fixed[own] = Subset.TRAIN, True
        n_images, n_units = int(self.images[label]), len(own)
        together = f", {n_units} apart" if n_units < n_images else ""
        return f"{n_images} image{'s' * (n_images > 1)}{together}"


def _describe_rare(rare: dict[str, str], bounds: dict[Subset, tuple[float, float]]) -> str:
    parts = ", ".join(subset.name.lower() for subset in sorted(bounds))
    return f"too few images to be in {parts}: {join_rare(rare)}; add some, or set split.rare: train"
