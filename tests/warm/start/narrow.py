"""A ResNet18 of few channels, its layers under their names."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import nn

# Times, than ResNet18: 8 channels, not 64. With 4, oneDNN 3.12, where there is AVX2 alone, writes
# past the end of the gradient of a 1x1 convolution of stride 2, and the process aborts.
NARROWER = 8
DRAWN_BY = ("constant_", "kaiming_normal_", "kaiming_uniform_", "uniform_")


def replace(module: Any) -> None:
    """Put it into torchvision.models.resnet."""

    from torchvision.models._api import BUILTIN_MODELS

    class NarrowResNet18(module.ResNet):  # type: ignore[misc]
        def __init__(self, num_classes: int = 1000, weights: Any = None) -> None:
            with _drawing():
                super().__init__(module.BasicBlock, [2, 2, 2, 2], num_classes=num_classes)
                self.fc = nn.Linear(512 // NARROWER, num_classes)

        def _make_layer(self, block: Any, planes: int, *args: Any, **options: Any) -> Any:
            return super()._make_layer(block, planes // NARROWER, *args, **options)

    # By this torchvision finds what the pretrained weights are.
    NarrowResNet18.__init__.__annotations__["weights"] = module.ResNet18_Weights
    NarrowResNet18.__module__ = module.__name__  # by which torchvision lists its models
    module.resnet18 = BUILTIN_MODELS["resnet18"] = NarrowResNet18


def _drawing() -> AbstractContextManager[Any]:
    """Draw no values for a network that has none; torch takes a third of a second for that."""
    if torch.get_default_device().type != "meta":
        return nullcontext()
    return mock.patch.multiple(nn.init, **dict.fromkeys(DRAWN_BY, lambda tensor, *_, **__: tensor))
