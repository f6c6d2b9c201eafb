"""The recipes of ResNet18: which of its layers train in which epoch, and how fast."""

from typing import Any

from torch import nn

from vision.schema.finetune import FinetuneParams
from vision.training.recipes import LayerPlan

# Children of torchvision's ResNet18 from the image to the classes; the stem is conv1 and bn1.
LAYERS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc")
HEAD = "fc"
# The same with what has no weights, in the order in which its forward pass takes them.
STEPS = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")


class ResNetPlan(LayerPlan):
    """What a recipe says of ResNet18's layers."""

    def __init__(self, params: FinetuneParams) -> None:
        self.params = params

    def set_mode(self, model: nn.Module, epoch: int) -> None:
        """Freeze the layers before `train_from`; during the head's epochs, all but the head.

        A frozen batch norm stays in evaluation mode, or its running statistics would still move.
        """
        first = LAYERS.index(self._find_first(epoch))
        for position, name in enumerate(LAYERS):
            layer = model.get_submodule(name)
            layer.requires_grad_(position >= first).train(position >= first)

    def group(self, model: nn.Module) -> list[dict[str, Any]]:
        rate = self.params.body_learning_rate
        if rate is None:
            return super().group(model)
        head = list(model.get_submodule(HEAD).parameters())
        body = [weight for name, weight in model.named_parameters() if not name.startswith(HEAD)]
        return [{"params": body, "lr": rate}, {"params": head}]

    def split(self, model: nn.Module, epoch: int) -> tuple[nn.Sequential, nn.Sequential] | None:
        first = self._find_first(epoch)
        if not self.params.cache_features or first == LAYERS[0]:
            return None
        steps = [model.get_submodule(name) for name in STEPS]
        steps += [nn.Flatten(), model.get_submodule(HEAD)]
        cut = STEPS.index(first) if first in STEPS else len(steps) - 1
        return nn.Sequential(*steps[:cut]), nn.Sequential(*steps[cut:])

    def _find_first(self, epoch: int) -> str:
        """Return the first layer that trains in this epoch."""
        return HEAD if epoch <= self.params.head_epochs else self.params.train_from


def count_trainable(model: nn.Module, params: FinetuneParams) -> int:
    """Count the weights that train in the last epoch."""
    ResNetPlan(params).set_mode(model, epoch=params.epochs)
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
