"""The recipes of pretrained networks: which of their layers train in which epoch, and how fast."""

from typing import Any

from torch import nn

from vision.base.errors import ParamsError
from vision.models.backbones import (
    RESNETS,
    check_name,
    check_size,
    find_head,
    list_parts,
    outline_backbone,
)
from vision.models.networks import count_parameters
from vision.schema.finetune import FinetuneParams
from vision.training.recipes import LayerPlan

# What torchvision's ResNets are made of, in the order in which their forward pass takes it.
STEPS = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")


class BackbonePlan(LayerPlan):
    """What a recipe says of a network's layers."""

    def __init__(self, params: FinetuneParams) -> None:
        self.params = params

    def set_mode(self, model: nn.Module, epoch: int) -> None:
        """Freeze what comes before `train_from`; during the head's epochs, all but the head.

        What is frozen stays in evaluation mode: a batch norm's running statistics would still
        move, and dropout would still drop.
        """
        first, trains = self._find_first(epoch), False
        for name, module in model.named_modules():  # parents first, else as the image takes them
            trains = trains or first in (name, None)
            module.training = trains or not name or f"{first}.".startswith(f"{name}.")
            for weight in module.parameters(recurse=False):
                weight.requires_grad_(trains)

    def group(self, model: nn.Module) -> list[dict[str, Any]]:
        """Return the weights in groups: those of the head, and of each part that has its own rate.

        With `layer_decay` a part's rate is that of the next one towards the head, times the decay.
        """
        rate, decay = self.params.body_learning_rate, self.params.layer_decay
        if rate is None and decay is None:
            return super().group(model)
        head = f"{find_head(self.params.architecture)}."
        named = dict(model.named_parameters())
        groups: list[dict[str, Any]]
        groups = [{"params": [weight for name, weight in named.items() if name.startswith(head)]}]
        body = {name: weight for name, weight in named.items() if not name.startswith(head)}
        if decay is None:
            return [{"params": list(body.values()), "lr": rate}, *groups]
        depths = measure_depths(model, list(body))
        top = rate or self.params.learning_rate
        for depth in sorted(set(depths.values())):
            weights = [weight for name, weight in body.items() if depths[name] == depth]
            groups.insert(0, {"params": weights, "lr": top * decay**depth})
        return groups

    def split(self, model: nn.Module, epoch: int) -> tuple[nn.Sequential, nn.Sequential] | None:
        first = self._find_first(epoch)
        if not self.params.cache_features or first in (None, STEPS[0]):
            return None
        steps = [model.get_submodule(name) for name in STEPS]
        steps += [nn.Flatten(), model.get_submodule(find_head(self.params.architecture))]
        cut = STEPS.index(first) if first in STEPS else len(steps) - 1
        return nn.Sequential(*steps[:cut]), nn.Sequential(*steps[cut:])

    def _find_first(self, epoch: int) -> str | None:
        """Return the first part that trains in this epoch; None: all do."""
        if epoch <= self.params.head_epochs:
            return find_head(self.params.architecture)
        return self.params.train_from


def measure_depths(model: nn.Module, names: list[str]) -> dict[str, int]:
    """Return how many parts lie between each weight and the head: 0 for the last part before it.

    What belongs to no part, such as a transformer's positions, lies as deep as the first.
    """
    parts = list_parts(model)
    owners = [part for part in parts if any(name.startswith(f"{part}.") for name in names)]
    depths = {part: len(owners) - 1 - place for place, part in enumerate(owners)}
    return {
        name: max(
            (depths[part] for part in owners if name.startswith(f"{part}.")),
            default=len(owners) - 1,
        )
        for name in names
    }


def check_recipe(params: FinetuneParams, image_px: int, key: str) -> None:
    """Raise ParamsError where a recipe and its network do not fit.

    Args:
        image_px: side of the stored images, which the network sees if the recipe names no other.
        key: of the recipe, for the message.
    """
    check_name(params.architecture, f"{key}.architecture")
    for px in {params.input_px or image_px, *(params.px_by_epoch or ())}:
        check_size(params.architecture, px, key)
    model = outline_backbone(params.architecture, 2, params.input_px or image_px)
    first = params.train_from
    if first is not None and first not in {name for name, _ in model.named_modules() if name}:
        parts = ", ".join(list_parts(model))
        raise ParamsError(
            f"{key}.train_from is {first!r}, which {params.architecture} lacks: choose from {parts}"
        )
    if params.cache_features and not params.architecture.startswith(RESNETS):
        raise ParamsError(f"{key}.cache_features is for ResNets, not for {params.architecture}")
    if params.optimizer == "muon" and not any(
        isinstance(layer, nn.BatchNorm2d) for layer in model.modules()
    ):
        raise ParamsError(
            f"{key}.optimizer is 'muon', which gives filters a length of its own: "
            f"{params.architecture} has no batch norms to make up for it; choose sgd or adamw"
        )
    if not params.max_pool and not params.architecture.startswith(RESNETS):
        raise ParamsError(f"{key}.max_pool is for ResNets, not for {params.architecture}")


def count_trainable(model: nn.Module, params: FinetuneParams) -> int:
    """Count the weights that train in the last epoch."""
    BackbonePlan(params).set_mode(model, epoch=params.epochs)
    return count_parameters(model, trainable=True)
