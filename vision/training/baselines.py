"""The networks that are trained from random weights, ready for their recipes.

That which whitens patches starts with a first layer that is computed from the training images.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vision.data.dataset import ImageSet
from vision.models.batches import PIXELS_AT_ONCE, read_batch, to_input
from vision.models.networks import ModelSpec, build_model
from vision.models.whitened import whiten_patches
from vision.schema.baselines import BaselineParams, WhitenedCNNParams
from vision.training.recipes import LayerPlan, describe_model

N_IMAGES = 5000  # whose patches are whitened, at most: airbench94
CPU = torch.device("cpu")


class Prepared(NamedTuple):
    spec: ModelSpec
    build: Callable[[], nn.Module]  # with weights that are drawn anew
    plan: LayerPlan


class WhitenedPlan(LayerPlan):
    """Of the first layer the bias alone trains, and in the first epochs alone; the rest always."""

    def __init__(self, bias_epochs: int) -> None:
        self.bias_epochs = bias_epochs

    def set_mode(self, model: nn.Module, epoch: int) -> None:
        super().set_mode(model, epoch)
        model.get_parameter("whiten.bias").requires_grad_(epoch <= self.bias_epochs)


def prepare_baseline(params: BaselineParams, train: ImageSet) -> Prepared:
    """Return the network that a recipe trains on these images, and what it says of its layers."""
    spec = describe_model(params.architecture, params, train, **params.get_options())
    if not isinstance(params, WhitenedCNNParams):
        return Prepared(spec, lambda: build_model(spec), LayerPlan())
    filters = whiten_patches(_read(train, spec))

    def build() -> nn.Module:
        model = build_model(spec)
        model.get_parameter("whiten.weight").data.copy_(filters)
        return model

    return Prepared(spec, build, WhitenedPlan(params.whiten_bias_epochs))


def _read(train: ImageSet, spec: ModelSpec) -> Iterator[Tensor]:
    """Yield images from all over the subset, which often has one class after the other."""
    count = min(N_IMAGES, len(train))
    positions = torch.arange(count) * len(train) // count
    for some in positions.split(max(1, PIXELS_AT_ONCE // spec.input_px**2)):
        yield to_input(read_batch(train, some, CPU).images, spec)
