"""What a recipe may say of a training, and the model that it asks for."""

from operator import not_
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from torch import nn

from vision.data.dataset import ImageSet
from vision.models.batches import measure_channels
from vision.models.networks import Channels, ModelSpec
from vision.training.augmentation import AugmentParams
from vision.training.optimizers import OptimizerParams

SIDE = Field(ge=8, le=512)


class TrainParams(OptimizerParams, AugmentParams):
    """What every recipe may set. The defaults add nothing to plain training.

    A knob that came after the first results is left out of a summary where it is off, by
    `exclude_if`: a new knob changes no byte of what a recipe leaves that does not turn it.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    # of a moving average of the weights, step by step
    ema_decay: float = Field(0.0, ge=0, lt=1, exclude_if=not_)
    # further trainings, with the next seeds: how much of a figure is luck
    repeats: int = Field(0, ge=0, le=99, exclude_if=not_)
    test_flip: bool = False  # average the logits of an image and of its mirror image
    # average also those of the image shifted by so many stored pixels, there and back, diagonally
    test_shift_px: int = Field(0, ge=0, le=32, exclude_if=not_)
    input_px: Annotated[int, SIDE] | None = None  # what the network sees; null: as stored
    # what it sees in training instead
    px_by_epoch: list[Annotated[int, SIDE]] | None = Field(None, exclude_if=not_)
    precision: Literal["fp32", "bf16"] = "fp32"

    @model_validator(mode="after")
    def _check_px(self) -> "TrainParams":
        if self.px_by_epoch and len(self.px_by_epoch) != self.epochs:
            n = len(self.px_by_epoch)
            raise ValueError(f"px_by_epoch names {n} sizes for {self.epochs} epochs")
        return self


class LayerPlan:
    """What a recipe says of single layers; by default all train, all the time, at one rate."""

    def set_mode(self, model: nn.Module, epoch: int) -> None:
        """Freeze what does not train in this epoch, counted from 1."""
        model.train()

    def group(self, model: nn.Module) -> list[dict[str, Any]]:
        """Return the weights in groups for the optimiser."""
        return [{"params": list(model.parameters())}]

    def split(self, model: nn.Module, epoch: int) -> tuple[nn.Sequential, nn.Sequential] | None:
        """Return the frozen layers and the rest, if the output of the first is to be kept."""
        return None


def describe_model(
    architecture: str,
    params: TrainParams,
    train: ImageSet,
    channels: tuple[Channels, Channels] | None = None,
    **options: Any,
) -> ModelSpec:
    """Return the spec of the network that a recipe trains on these images.

    Args:
        channels: mean and standard deviation to normalise with; None: those of `train`.
        options: arguments of the architecture.
    """
    mean, std = channels or measure_channels(train)
    return ModelSpec(
        architecture=architecture,
        classes=train.classes,
        image_px=train.image_px,
        input_px=params.input_px or train.image_px,
        mean=mean,
        std=std,
        precision=params.precision,
        test_flip=params.test_flip,
        test_shift_px=params.test_shift_px,
        options=options,
    )
