"""The recipes of ResNet18, and which of its layers train in which epoch."""

from typing import Literal

from pydantic import Field
from torch import nn

from vision.training import TrainParams

# Children of torchvision's ResNet18 from the image to the classes; the stem is conv1 and bn1.
LAYERS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc")
HEAD = "fc"


class FinetuneParams(TrainParams):
    weights: str = Field(min_length=1)  # imagenet, none, or a .safetensors or .pth file
    train_from: Literal["conv1", "layer1", "layer2", "layer3", "layer4", "fc"] = "conv1"
    head_epochs: int = Field(0, ge=0)  # first epochs that train the new last layer alone


def set_trainable(model: nn.Module, params: FinetuneParams, epoch: int) -> None:
    """Freeze the layers before `train_from`; during the head's epochs, all but the head.

    A frozen batch norm stays in evaluation mode, or its running statistics would still move.
    """
    first = HEAD if epoch <= params.head_epochs else params.train_from
    for position, name in enumerate(LAYERS):
        trains = position >= LAYERS.index(first)
        layer = model.get_submodule(name)
        layer.requires_grad_(trains).train(trains)


def count_trainable(model: nn.Module, params: FinetuneParams) -> int:
    """Count the weights that train in the last epoch."""
    set_trainable(model, params, epoch=params.epochs)
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
