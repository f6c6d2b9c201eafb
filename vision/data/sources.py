"""Where images come from. How they become data/raw: storing.py."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import vision.data.cifar10 as cifar10
from vision.base.errors import SourceError
from vision.base.fetch import Official, fetch_near, fetch_official
from vision.base.files import sha256_of
from vision.data.dataset import Subset
from vision.data.decoding import Decoded, make_decoded
from vision.data.described import is_description, read_source, to_official
from vision.data.images import FULL_BITS, Picture, fit_square
from vision.data.layouts import Place
from vision.data.shards import CROP
from vision.data.storing import RawImages
from vision.data.trees import Tree, digest_folder, open_labelled_tree, open_tree
from vision.schema.data import DataParams

CIFAR10_IMAGES = 60_000
DIGITS_MAX = 16  # grey levels of scikit-learn's digits


def open_source(params: DataParams) -> RawImages:
    """Find, fetch and check what `data.source` names: images, or a file that describes them."""
    return replace(_open_named(params), fit=params.fit)


def _open_named(params: DataParams) -> RawImages:
    path, image_px = params.locate(), params.image_px
    if not is_description(path):
        return open_user_images(path.resolve(), params)
    source = read_source(path)
    match source.reader:
        case "cifar10":
            return open_cifar10(to_official(source), image_px)
        case "digits":
            return open_digits(image_px)
        case "images":
            return open_user_images(fetch_near(str(source.url), source.digests), params)


def open_cifar10(official: Official, image_px: int) -> RawImages:
    """Open the official archive, or the copy that PIPELINE_MIRROR has in its place."""
    fetched = fetch_official(official)
    name, sha256 = fetched.path.name, sha256_of(fetched.path)
    facts = {"source": "cifar10", "official": fetched.official, "name": name, "sha256": sha256}
    if not fetched.official:
        return _open_cifar10_copy(fetched.path, image_px, facts)
    images, labels, names = cifar10.read_batches(fetched.path)
    is_test = np.arange(len(labels)) >= len(cifar10.TRAIN_BATCHES) * cifar10.BATCH_IMAGES
    subsets = np.where(is_test, Subset.TEST, Subset.TRAIN).astype(np.uint8)
    verified = f"{' and '.join(official.digests)} of the official archive"
    note = f"All {len(labels):,} CIFAR-10 images, from the official archive: checksums verified."
    facts |= {"verified": verified, "note": note}
    return RawImages(
        cifar10.CLASSES, labels, subsets, names, partial(_resize, images, image_px), facts
    )


def open_digits(image_px: int) -> RawImages:
    """Open the 8x8 digits that scikit-learn carries."""
    digits = load_digits()
    images = np.rint(digits.images * (255 / DIGITS_MAX)).astype(np.uint8)  # (N, 8, 8)
    labels = digits.target.astype(np.int64)
    note = f"All {len(labels):,} handwritten digits of scikit-learn, 8 pixels wide, enlarged."
    facts = {
        "source": "digits",
        "official": True,
        "name": "sklearn.datasets.load_digits",
        "sha256": hashlib.sha256(images.tobytes() + labels.astype("<i8").tobytes()).hexdigest(),
        "verified": None,
        "note": note,
    }
    subsets = np.full(len(labels), Subset.TRAIN, np.uint8)
    classes = [str(digit) for digit in range(10)]
    names = [str(number) for number in range(len(labels))]  # where load_digits has them
    return RawImages(classes, labels, subsets, names, partial(_resize, images, image_px), facts)


def open_user_images(path: Path, params: DataParams) -> RawImages:
    """Open a folder or an archive: of class folders, or with the table that `params` name."""
    if params.labels:
        tree = open_labelled_tree(path, params.labels, skip=params.broken == "skip")
    else:
        tree = open_tree(path)
    kind = "folder" if path.is_dir() else "archive"
    names = [place.name for place in tree.places]
    n_images, n_classes = len(tree.places), len(tree.classes)
    facts = {
        "source": kind,
        "official": False,
        "name": path.name,
        "sha256": digest_folder(path, names) if path.is_dir() else sha256_of(path),
        "verified": None,
        "note": f"{n_images:,} images in {n_classes} classes, from the {kind} {path.name}.",
    }
    return make_raw(tree, params.image_px, facts, params.fit)


def _open_cifar10_copy(path: Path, image_px: int, facts: dict[str, Any]) -> RawImages:
    tree = open_tree(path)
    if tree.classes != cifar10.CLASSES:
        raise SourceError(f"{path.name} has the classes {tree.classes}, not those of CIFAR-10")
    n = len(tree.places)
    share = f"All {n:,}" if n == CIFAR10_IMAGES else f"{n:,} of the {CIFAR10_IMAGES:,}"
    note = (
        f"{share} CIFAR-10 images, from a mirror's JPEG copy, not the official archive: "
        "checksums not verified."
    )
    return make_raw(tree, image_px, facts | {"verified": None, "note": note})


def make_raw(tree: Tree, image_px: int, facts: dict[str, Any], fit: str = CROP) -> RawImages:
    """Return the images of a tree as a data set; `facts` are for the manifest."""
    positions = {name: position for position, name in enumerate(tree.classes)}
    return RawImages(
        classes=tree.classes,
        labels=np.array([positions[place.class_name] for place in tree.places], np.int64),
        subsets=np.array([place.subset for place in tree.places], np.uint8),
        names=[place.name for place in tree.places],
        columns=gather_columns(tree.places),
        read=partial(tree.read, image_px, fit=fit),
        provenance=facts | tree.facts,
        remarks=tree.remarks,
    )


def gather_columns(places: Sequence[Place]) -> dict[str, list[str]]:
    """Return what a table of labels says of each image besides its class, by column.

    Columns without any text are left out; what a row lacks is an empty text.
    """
    columns: dict[str, list[str]] = {}
    for row, place in enumerate(places):
        for title, text in place.more:
            if text:
                columns.setdefault(title, [""] * len(places))[row] = text
    return columns


def _resize(
    images: np.ndarray, image_px: int, rows: Iterable[int], _: int = FULL_BITS
) -> Iterator[Decoded]:
    """Yield (N, H, W, 3) or grey (N, H, W) uint8 images as squares."""
    for row in rows:
        image = Image.fromarray(images[row])
        pixels = fit_square(image.convert("RGB"), image_px)
        yield make_decoded(int(row), Picture(pixels, image.size))
