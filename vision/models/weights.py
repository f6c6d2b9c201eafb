"""Fetch weights for ResNet18, check them key by key, and store them as safetensors."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from vision.base.errors import ParamsError, SourceError
from vision.base.fetch import Official, fetch_official
from vision.base.files import sha256_of, write_bytes, write_json
from vision.models.pretrained import MANIFEST_FILE, WEIGHTS_FILE

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


def open_weights(weights: Any, key: str) -> Weights:
    """Find, fetch and check what a recipe's `weights` names.

    Args:
        weights: imagenet, none, or a file in sources/weights.
        key: of the param, for messages.

    Raises:
        ParamsError: it is none of these.
        SourceError: the weights cannot be had, or do not fit.
    """
    match weights:
        case "none":
            return NO_WEIGHTS
        case "imagenet":
            return open_imagenet()
        case str() if Path(weights).suffix in SUFFIXES and (path := find_own(weights)):
            return open_file(path)
    choices = f"imagenet, none, or a file in {OWN_DIR} that ends in {', '.join(SUFFIXES)}"
    raise ParamsError(f"{key} is {weights!r}; give {choices}")


def find_own(weights: str) -> Path | None:
    """Return a file in sources/weights, named with that folder or without."""
    name = Path(weights)
    path = name if name.parent == OWN_DIR else OWN_DIR / name
    return path if path.parent == OWN_DIR and path.is_file() else None


def open_imagenet() -> Weights:
    """Open torchvision's weights, or those that PIPELINE_MIRROR has in their place."""
    fetched = fetch_official(IMAGENET)
    name = fetched.path.name
    if fetched.official:
        verified = "sha256 of the official file"
        note = "ImageNet weights of ResNet18, from torchvision's official file: sha256 verified."
    else:
        verified = None
        note = (
            f"ImageNet weights of ResNet18 from a mirror's stand-in ({name}), not torchvision's "
            "official file: checksum not verified."
        )
    manifest = {
        "weights": "imagenet",
        "official": fetched.official,
        "name": name,
        "sha256": sha256_of(fetched.path),
        "verified": verified,
        "note": note,
    }
    return Weights(read_tensors(fetched.path), manifest)


def open_file(path: Path) -> Weights:
    """Open a user's own weights, whose last layer may have any number of classes."""
    manifest = {
        "weights": "file",
        "official": False,
        "name": path.name,
        "sha256": sha256_of(path),
        "verified": None,
        "note": f"Weights of ResNet18 from the user's file {path.name}.",
    }
    return Weights(read_tensors(path), manifest)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return a file's weights under torchvision's keys, as float32; no code in it is run.

    Raises:
        SourceError: the file is damaged, holds code, or is not a ResNet18.
    """
    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise SourceError(
            f"{path.name} holds code or objects, which are not run, or is damaged: "
            "save the model's state_dict() alone"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).split("\n")[0]
        raise SourceError(f"{path.name} is damaged: {reason}") from None
    return check_tensors(tensors, path.name)


def check_tensors(tensors: Any, name: str) -> dict[str, Tensor]:
    """Return the tensors as ResNet18 wants them, or name the first key that is amiss.

    The last layer, fc, may be absent or have any number of rows: it is replaced in any case.
    """
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise SourceError(f"{name} does not hold tensors by name: save the model's state_dict()")
    from torchvision.models import resnet18  # takes seconds, which a start from nothing saves

    with torch.device("meta"):  # shapes alone, no memory and no random numbers
        expected = resnet18().state_dict()
    counters = {key: torch.tensor(0) for key in expected if key.endswith(COUNTER)}
    tensors = counters | tensors
    if unexpected := sorted(tensors.keys() - expected.keys(), key=str):
        raise SourceError(f"{name} has {unexpected[0]!r}, which torchvision's resnet18 lacks")
    for key, model in expected.items():
        if key not in tensors and not key.startswith("fc."):
            raise SourceError(f"{name} lacks {key!r} of torchvision's resnet18")
        rows = int(key.startswith("fc."))  # the dimension that counts classes
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


NO_WEIGHTS = Weights(
    tensors=None,
    manifest={
        "weights": "none",
        "official": False,
        "name": None,
        "sha256": None,
        "verified": None,
        "note": "No pretrained weights: ResNet18 starts from random ones.",
    },
)
