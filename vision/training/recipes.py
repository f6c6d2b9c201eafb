"""What a recipe may say of a training, and the model that it asks for."""

from typing import Any

from torch import nn

from vision.data.dataset import ImageSet
from vision.models.averages import Channels
from vision.models.batches import measure_channels
from vision.models.networks import ModelSpec
from vision.schema.recipes import TrainParams


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
        fit=train.fit,
        options=options,
    )
