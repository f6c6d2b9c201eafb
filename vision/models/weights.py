"""Fetch weights for a network, check them key by key, and store them as safetensors."""

import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from vision.base.errors import ParamsError, SourceError
from vision.base.fetch import Fetched, Official, fetch_official
from vision.base.files import sha256_of, write_bytes, write_json
from vision.models.backbones import (
    find_head,
    find_preparation,
    outline_backbone,
    rename_keys,
)
from vision.models.pretrained import MANIFEST_FILE, WEIGHTS_FILE
from vision.models.timm_networks import PREFIX, find_address, is_timm, read_timm

RESNET18 = "resnet18"
TITLES = {RESNET18: "ResNet18"}
IMAGENET = Official(
    url="https://download.pytorch.org/models/resnet18-f37072fd.pth",
    # torchvision checks the eight digits in the file's name; these are all of them
    digests={"sha256": "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec"},
    stand_ins=(
        "resnet18-imagenet.safetensors",
        "resnet18-imagenet-partial.safetensors",
        "resnet18-imagenet*.safetensors",
    ),
    way_out="the recipe's weights=none",
)
OWN_DIR = Path("sources/weights")  # of files of people's own, a dep of the stage
SUFFIXES = (".safetensors", ".pth", ".pt")
COUNTER = "num_batches_tracked"  # of a batch norm; absent from old files, and unused here


@dataclass(frozen=True)
class Weights:
    tensors: dict[str, Tensor] | None
    manifest: dict[str, Any]  # weights, official, name, sha256, verified, note


def open_weights(weights: Any, architecture: str, key: str) -> Weights:
    """Find, fetch and check what a recipe's `weights` names.

    Args:
        weights: imagenet, none, or a file in sources/weights.
        architecture: a classifier of torchvision, or timm/NAME.
        key: of the param, for messages.

    Raises:
        ParamsError: it is none of these.
        SourceError: the weights cannot be had, or do not fit.
    """
    match weights:
        case "none":
            return name_no_weights(architecture)
        case "imagenet":
            return open_imagenet(architecture)
        case str() if Path(weights).suffix in SUFFIXES and (path := find_own(weights)):
            return open_file(path, architecture)
    choices = f"imagenet, none, or a file in {OWN_DIR} that ends in {', '.join(SUFFIXES)}"
    raise ParamsError(f"{key} is {weights!r}; give {choices}")


def name_no_weights(architecture: str) -> Weights:
    title = TITLES.get(architecture, architecture)
    note = f"No pretrained weights: {title} starts from random ones."
    facts = {"official": False, "name": None, "sha256": None, "verified": None}
    return Weights(tensors=None, manifest={"weights": "none", **facts, "note": note})


def find_official(name: str) -> Official:
    """Return where the network's default ImageNet weights are, and what a mirror may have instead.

    torchvision gives the first digits of a file's SHA-256 in its name; of timm's files
    some have none.
    """
    if is_timm(name):
        url, called, digests = find_address(name)
        own = name.replace("/", "-")
        stand_ins = (f"{own}-imagenet.safetensors", f"{own}-imagenet*.safetensors")
        return Official(url, digests, stand_ins, "the recipe's weights=none", called)
    from torchvision import models  # takes seconds, which a start from nothing saves

    url = models.get_model_weights(name).DEFAULT.url
    digits = re.search(r"-([0-9a-f]{8,})\.pth$", url)
    assert digits, url
    stand_ins = (f"{name}-imagenet.safetensors", f"{name}-imagenet*.safetensors")
    return Official(url, {"sha256": digits[1]}, stand_ins, way_out="the recipe's weights=none")


def find_own(weights: str) -> Path | None:
    """Return a file in sources/weights, named with that folder or without."""
    name = Path(weights)
    path = name if name.parent == OWN_DIR else OWN_DIR / name
    return path if path.parent == OWN_DIR and path.is_file() else None


def open_imagenet(architecture: str) -> Weights:
    """Open a library's own weights, or those that PIPELINE_MIRROR has in their place."""
    is_whole = architecture == RESNET18  # whose checksum is known whole
    official = IMAGENET if is_whole else find_official(architecture)
    fetched = fetch_official(official)
    manifest: dict[str, Any] = {
        "weights": "imagenet",
        "official": fetched.official,
        "name": fetched.path.name,
        "sha256": sha256_of(fetched.path),
        **_describe(fetched, official, architecture),
    }
    if not is_whole:
        manifest["preparation"] = find_preparation(architecture)._asdict()
    return Weights(_read_official(fetched.path, architecture), manifest)


def _describe(fetched: Fetched, official: Official, architecture: str) -> dict[str, str | None]:
    """Return what was verified of a file, and a sentence on it."""
    title, owner = TITLES.get(architecture, architecture), find_owner(architecture)
    if not fetched.official:
        note = (
            f"ImageNet weights of {title} from a mirror's stand-in ({fetched.path.name}), not "
            f"{owner}'s official file: checksum not verified."
        )
        return {"verified": None, "note": note}
    begin = f"ImageNet weights of {title}, from {owner}'s official file:"
    if not official.digests:
        return {"verified": None, "note": f"{begin} {owner} names no checksum of it."}
    digits = "" if architecture == RESNET18 else "first digits of the "
    return {
        "verified": f"{digits}sha256 of the official file",
        "note": f"{begin} {digits}sha256 verified.",
    }


def _read_official(path: Path, architecture: str) -> dict[str, Tensor]:
    """Return the weights of a file that a library may have written in a way of its own."""
    if not is_timm(architecture):
        return read_tensors(path, architecture)
    with _naming_damage(path):
        tensors = read_timm(path, architecture)
    return check_tensors(tensors, path.name, architecture)


def find_owner(architecture: str) -> str:
    """Return the library that a network is of."""
    return PREFIX.rstrip("/") if is_timm(architecture) else "torchvision"


def open_file(path: Path, architecture: str) -> Weights:
    """Open a user's own weights, whose last layer may have any number of classes."""
    manifest = {
        "weights": "file",
        "official": False,
        "name": path.name,
        "sha256": sha256_of(path),
        "verified": None,
        "note": f"Weights of {TITLES.get(architecture, architecture)} from the user's file "
        f"{path.name}.",
    }
    if architecture != RESNET18:
        manifest["preparation"] = find_preparation(architecture)._asdict()
    return Weights(read_tensors(path, architecture), manifest)


def read_tensors(path: Path, architecture: str) -> dict[str, Tensor]:
    """Return a file's weights under their library's keys, as float32; no code in it is run.

    Raises:
        SourceError: the file is damaged, holds code, or is of another network.
    """
    with _naming_damage(path):
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    return check_tensors(tensors, path.name, architecture)


@contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    """Say of a file that cannot be read what is wrong with it."""
    try:
        yield
    except pickle.UnpicklingError:
        raise SourceError(
            f"{path.name} holds code or objects, which are not run, or is damaged: "
            "save the model's state_dict() alone"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).split("\n")[0]
        raise SourceError(f"{path.name} is damaged: {reason}") from None


def check_tensors(tensors: Any, name: str, architecture: str) -> dict[str, Tensor]:
    """Return the tensors as the network wants them, or name the first key that is amiss.

    The last layer may be absent or have any number of rows: it is replaced in any case.
    """
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise SourceError(f"{name} does not hold tensors by name: save the model's state_dict()")
    expected = outline_backbone(architecture, 1000, find_preparation(architecture).px).state_dict()
    head, owner = f"{find_head(architecture)}.", find_owner(architecture)
    tensors = rename_keys(architecture, tensors)
    counters = {key: torch.tensor(0) for key in expected if key.endswith(COUNTER)}
    tensors = counters | tensors
    if unexpected := sorted(tensors.keys() - expected.keys(), key=str):
        raise SourceError(f"{name} has {unexpected[0]!r}, which {owner}'s {architecture} lacks")
    for key, model in expected.items():
        if key not in tensors and not key.startswith(head):
            raise SourceError(f"{name} lacks {key!r} of {owner}'s {architecture}")
        rows = int(key.startswith(head))  # the dimension that counts classes
        if key in tensors and tensors[key].shape[rows:] != model.shape[rows:]:
            found, wanted = tuple(tensors[key].shape), tuple(model.shape)
            raise SourceError(f"{name}: {key!r} has the shape {found}, not {wanted}")
    return {
        key: tensors[key].detach().to(expected[key].dtype, copy=True).contiguous()
        for key in sorted(tensors)
    }


def save_weights(weights: Weights, out: Path) -> None:
    """Write the weights, if there are any, and the manifest into a folder."""
    if weights.tensors is None:
        (out / WEIGHTS_FILE).unlink(missing_ok=True)
    else:
        write_bytes(out / WEIGHTS_FILE, save(weights.tensors))
    write_json(out / MANIFEST_FILE, weights.manifest)
