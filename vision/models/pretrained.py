"""Pretrained weights on disk, one folder for each fine-tuning recipe.

data/pretrained/NAME/
    weights.safetensors   under torchvision's keys, float32; absent where there are none
    manifest.json         where they came from, with checksums, and what they expect of images
"""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from vision.base.files import read_json

PRETRAINED_DIR = Path("data/pretrained")
WEIGHTS_FILE = "weights.safetensors"
MANIFEST_FILE = "manifest.json"
# Mean and standard deviation of red, green and blue that torchvision's ImageNet weights expect
# of images scaled to 0..1: ResNet18_Weights.IMAGENET1K_V1.transforms()
IMAGENET_CHANNELS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def load_pretrained(name: str, root: Path = PRETRAINED_DIR) -> dict[str, Tensor] | None:
    """Return the weights that a recipe starts from, or None where it starts from random ones."""
    path = root / name / WEIGHTS_FILE
    return None if load_pretrained_manifest(name, root)["weights"] == "none" else load_file(path)


def load_channels(
    name: str, root: Path = PRETRAINED_DIR
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation that a recipe's weights expect."""
    how = load_pretrained_manifest(name, root).get("preparation")
    return (tuple(how["mean"]), tuple(how["std"])) if how else IMAGENET_CHANNELS


def load_pretrained_manifest(name: str, root: Path = PRETRAINED_DIR) -> dict[str, Any]:
    manifest: dict[str, Any] = read_json(root / name / MANIFEST_FILE)
    return manifest
