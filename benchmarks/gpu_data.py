"""Images, split and weights for benchmarks.gpu: prepared by the installed project, read without it.

FOLDER/data/
    labels.npy, train.npy, val.npy, test.npy    as in data/raw and data/split
    classes.json
    images.json, weights.json                   where they came from; the first with their sha256
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.gpu_pack import PackError, read_facts
from vision.base.fetch import MIRROR, Official, fetch_official
from vision.base.files import read_array, read_json, sha256_of, write_array, write_json
from vision.base.params import get_value, read_params
from vision.base.sections import check_section, load_section, load_seed
from vision.base.variables import read_variable
from vision.data import cifar10
from vision.data.dataset import ImageSet
from vision.data.described import read_source, to_official
from vision.data.trees import open_tree
from vision.models.weights import IMAGENET, open_imagenet
from vision.schema.baselines import BaselineParams, check_baseline
from vision.schema.finetune import DEFAULT, FinetuneParams

SOURCE = Path("sources/cifar10.yaml")
IMAGE_PX = 32  # of CIFAR-10
SUBSETS = ("train", "val", "test")
RECIPES = {  # name -> section of params.yaml; the most important first
    "whitened-cnn": "baselines",
    "whitened-wide": "baselines",
    "paper": "finetune",
    "large": "finetune",
}
# As published: params.yaml has batches for a few processor cores, and fewer epochs of the wide one.
CHANGES: dict[str, dict[str, Any]] = {
    "whitened-cnn": {
        "batch_size": 2000,
        "muon_learning_rate": 0.24,
        "learning_rate": 1340,
        "bias_learning_rate": 106,
        "batch_norm_momentum": 0.4,
    },
    "whitened-wide": {"epochs": 37},
}
# A recipe by faster means, which are measured before a recipe takes them on.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "whitened-cnn-free": ("whitened-cnn", {"deterministic": False}),
    "whitened-cnn-compiled": ("whitened-cnn", {"deterministic": False, "compile": True}),
}
TINY_IMAGES = {"train": 16, "val": 10, "test": 10}
TINY_CHANGES: dict[str, dict[str, Any]] = {
    "paper": {"weights": "none", "epochs": 2, "batch_size": 8},
    "large": {
        "weights": "none",
        "epochs": 2,
        "batch_size": 8,
        "input_px": 40,
        "px_by_epoch": [32, 40],
        "precision": "fp32",  # many processors are slow in bf16
    },
    "whitened-cnn": {"epochs": 2, "batch_size": 8, "widths": [8, 8, 8]},
    "whitened-wide": {"epochs": 2, "batch_size": 8, "widths": [8, 8, 8]},
}
Recipe = FinetuneParams | BaselineParams


@dataclass(frozen=True)
class Stock:
    """All that the measurements work on."""

    train: ImageSet
    val: ImageSet
    test: ImageSet
    weights: dict[str, Tensor] | None
    recipes: dict[str, Recipe]
    facts: dict[str, Any]  # where images and weights came from, and what code trains
    is_tiny: bool = False


def prepare(folder: Path, with_files: bool = True) -> None:
    """Split CIFAR-10 by a hash of the pixels, and write what the other machine cannot compute.

    The pipeline hashes an image's file: the shares are the same, train and val are other images.

    Args:
        with_files: copy the archive and the weights as well.
    """
    from vision.data.sources import (
        open_cifar10,  # here alone: the other machine lacks what they import
    )
    from vision.data.splits import key_images, split_images
    from vision.data.storing import describe
    from vision.schema.split import SplitParams

    check_source()
    raw, images = open_cifar10(find_cifar10(), IMAGE_PX), read_images()
    params = load_section("split", SplitParams)
    keys = key_images([""] * len(images), images)
    split = split_images(keys, raw.labels, raw.subsets, raw.classes, params, load_seed())
    for subset, indices in split.indices.items():
        write_array(folder / f"data/{subset.name.lower()}.npy", indices)
    write_array(folder / "data/labels.npy", raw.labels)
    write_json(folder / "data/classes.json", raw.classes)
    facts = describe(raw, IMAGE_PX) | {"pixels_sha256": digest(images)}
    write_json(folder / "data/images.json", facts)
    write_json(folder / "data/weights.json", open_imagenet(DEFAULT).manifest)
    shutil.rmtree(folder / "mirror", ignore_errors=True)
    if with_files:
        (folder / "mirror").mkdir(parents=True)
        for official in (find_cifar10(), IMAGENET):
            shutil.copy(fetch_official(official).path, folder / "mirror")


def check_source() -> None:
    values = read_params()
    wanted: dict[str, Any] = {"data.source": str(SOURCE), "data.image_px": IMAGE_PX}
    for key, value in wanted.items():
        if (found := get_value(values, key)) != value:
            raise PackError(f"{key} is {found!r}: this benchmark is for {value!r}")


def load(folder: Path) -> Stock:
    """Read what `prepare` wrote; images and weights come from the mirror, or else from the folder.

    Raises:
        PackError: PIPELINE_MIRROR has another archive, or other weights, than were packed.
    """
    commit = read_facts(folder)["commit"]
    os.environ[MIRROR] = read_variable(MIRROR) or str(folder / "mirror")
    facts = {name: read_json(folder / f"data/{name}.json") for name in ("images", "weights")}
    for name, official in {"images": find_cifar10(), "weights": IMAGENET}.items():
        path = fetch_official(official).path
        if sha256_of(path) != facts[name]["sha256"]:
            raise PackError(f"{path} is not the {facts[name]['name']} that was packed: pack again")
    images = read_images()
    facts["images"]["same_pixels"] = digest(images) == facts["images"]["pixels_sha256"]
    labels = np.asarray(read_array(folder / "data/labels.npy"))
    classes = tuple(read_json(folder / "data/classes.json"))
    parts = [np.asarray(read_array(folder / f"data/{name}.npy")) for name in SUBSETS]
    train, val, test = (ImageSet(images, labels, part, classes) for part in parts)
    facts |= {"commit": commit, "code": digest_code()}
    return Stock(train, val, test, open_imagenet(DEFAULT).tensors, read_recipes(CHANGES), facts)


def read_recipes(*changes: Mapping[str, dict[str, Any]]) -> dict[str, Recipe]:
    """Return the recipes of params.yaml, changed as told by name, and their variants."""
    found: dict[str, Recipe] = {}
    for name, section in RECIPES.items():
        values = get_value(read_params(), key := f"{section}.{name}")
        for each in changes:
            values = values | each.get(name, {})
        if section == "baselines":
            found[name] = check_baseline(name, values)
        else:
            found[name] = check_section(key, values, FinetuneParams)
    return found | {
        name: found[base].model_copy(update=means) for name, (base, means) in VARIANTS.items()
    }


def read_images() -> np.ndarray:
    """Decode all images into memory: (60000, 32, 32, 3) uint8, in the order of data/raw."""
    fetched = fetch_official(find_cifar10())
    if fetched.official:
        return cifar10.read_batches(fetched.path).images
    tree = open_tree(fetched.path)
    images = np.empty((len(tree.places), IMAGE_PX, IMAGE_PX, 3), np.uint8)
    for row, picture, *_, fault in tree.read(IMAGE_PX):
        if not picture:
            raise PackError(f"{tree.places[row].name} cannot be read: {fault}")
        images[row] = picture.pixels
    return images


def find_cifar10() -> Official:
    return to_official(read_source(SOURCE))


def digest(images: np.ndarray) -> str:
    return hashlib.sha256(images.data).hexdigest()


def digest_code() -> str:
    """Return a digest of the code that trains: a figure of other code is another figure."""
    digests = hashlib.sha256()
    for path in sorted(Path("vision").rglob("*.py")):
        digests.update(f"{path.as_posix()} {sha256_of(path)}\n".encode())
    return digests.hexdigest()[:16]


def make_tiny() -> Stock:
    """Return random images and recipes that take seconds: to see whether all of it runs."""
    rng, n = np.random.default_rng(0), sum(TINY_IMAGES.values())
    images = rng.integers(0, 256, (n, IMAGE_PX, IMAGE_PX, 3), dtype=np.uint8)
    labels = rng.permutation(n) % len(cifar10.CLASSES)
    ends = np.cumsum(list(TINY_IMAGES.values()))
    parts = np.split(np.arange(n), ends[:-1])
    train, val, test = (ImageSet(images, labels, part, tuple(cifar10.CLASSES)) for part in parts)
    recipes = read_recipes(CHANGES, TINY_CHANGES)
    recipes = {name: recipe for name, recipe in recipes.items() if not recipe.compile}  # minutes
    notes = {"images": "Random images, for a try-out.", "weights": "No pretrained weights."}
    facts: dict[str, Any] = {name: {"note": note} for name, note in notes.items()}
    facts |= {"commit": "unknown", "code": digest_code()}
    return Stock(train, val, test, None, recipes, facts, is_tiny=True)
