"""`finetune.NAME` of params.yaml: a recipe for a classifier of torchvision or timm."""

from operator import not_
from typing import Any

from pydantic import Field, model_validator

from vision.schema.recipes import TrainParams

DEFAULT = "resnet18"  # what recipes had before there was a choice
PARTS = ("conv1", "layer1", "layer2", "layer3", "layer4", "fc")  # of it, from which it may train
# What changes images in another way than by mirroring them.
CHANGES_INPUT = (
    "crop_padding_px",
    "crop_scale",
    "cutout_px",
    "erase",
    "auto_augment",
    "mixup",
    "cutmix",
    "px_by_epoch",
)
HAS_STEM = ("resnet", "resnext", "wide_resnet")  # whose first layer is conv1


def is_default(architecture: str) -> bool:
    return architecture == DEFAULT


def find_first(values: dict[str, Any]) -> str | None:
    """Return where training starts if a recipe does not say so: at the first layer."""
    return "conv1" if values.get("architecture", "").startswith(HAS_STEM) else None


class FinetuneParams(TrainParams):
    architecture: str = Field(exclude_if=is_default)  # of torchvision; timm/NAME: of timm
    weights: str = Field(min_length=1)  # imagenet, none, or a file in sources/weights
    train_from: str | None = Field(default_factory=find_first)  # a part; null: all train
    head_epochs: int = Field(0, ge=0)  # first epochs that train the new last layer alone
    # of all but the head; null: as the head's
    body_learning_rate: float | None = Field(None, gt=0, exclude_if=not_)
    # of the rate, from each part to the one before it
    layer_decay: float | None = Field(None, gt=0, lt=1, exclude_if=not_)
    max_pool: bool = Field(True, exclude_if=bool)  # false: maps twice as wide, after the stem
    # compute what frozen layers give once, not in every epoch
    cache_features: bool = Field(False, exclude_if=not_)

    def get_options(self) -> dict[str, Any]:
        """Return the arguments of the architecture that are not as torchvision has them."""
        return {} if self.max_pool else {"max_pool": False}

    @model_validator(mode="after")
    def _check_part(self) -> "FinetuneParams":
        if self.architecture == DEFAULT and self.train_from not in (None, *PARTS):
            raise ValueError(
                f"train_from is {self.train_from!r}, which {DEFAULT} lacks: choose from "
                f"{', '.join(PARTS)}"
            )
        return self

    @model_validator(mode="after")
    def _check_features(self) -> "FinetuneParams":
        changes = [key for key in CHANGES_INPUT if getattr(self, key)]
        if self.cache_features and changes:
            raise ValueError(f"cache_features leaves no room for {', '.join(changes)}")
        if self.cache_features and self.train_from in (None, "conv1") and not self.head_epochs:
            raise ValueError("cache_features needs frozen layers: train_from or head_epochs")
        if self.cache_features and self.compile:
            raise ValueError("cache_features cuts the network that compile would take: choose one")
        return self
