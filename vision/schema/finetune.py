"""`finetune.NAME` of params.yaml: a recipe for ResNet18."""

from operator import not_
from typing import Any, Literal

from pydantic import Field, model_validator

from vision.schema.recipes import TrainParams


class FinetuneParams(TrainParams):
    weights: str = Field(min_length=1)  # imagenet, none, or a file in sources/weights
    train_from: Literal["conv1", "layer1", "layer2", "layer3", "layer4", "fc"] = "conv1"
    head_epochs: int = Field(0, ge=0)  # first epochs that train the new last layer alone
    # of all but the head; null: as the head's
    body_learning_rate: float | None = Field(None, gt=0, exclude_if=not_)
    max_pool: bool = Field(True, exclude_if=bool)  # false: maps twice as wide, after the stem
    # compute what frozen layers give once, not in every epoch
    cache_features: bool = Field(False, exclude_if=not_)

    def get_options(self) -> dict[str, Any]:
        """Return the arguments of the architecture that are not as torchvision has them."""
        return {} if self.max_pool else {"max_pool": False}

    @model_validator(mode="after")
    def _check_features(self) -> "FinetuneParams":
        if self.cache_features and (self.crop_padding_px or self.cutout_px or self.px_by_epoch):
            raise ValueError("cache_features leaves no room for crops, cutout or px_by_epoch")
        if self.cache_features and self.train_from == "conv1" and not self.head_epochs:
            raise ValueError("cache_features needs frozen layers: train_from or head_epochs")
        return self
