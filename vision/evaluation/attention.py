"""Where a network looks: Grad-CAM, Selvaraju et al. (2017), by captum."""

import numpy as np
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from vision.models.batches import to_input
from vision.models.networks import ModelSpec

SMALLEST_MAP = 4  # side; a map of one cell would say nothing
LAYERS = ("layer4", "layer3", "layer2", "layer1")  # of ResNet18, the last first


def find_layer(model: nn.Module, spec: ModelSpec) -> tuple[str, nn.Module] | None:
    """Return the last layer whose map is large enough, or None if no layer keeps places apart."""
    if spec.architecture == "two-layer-fc":
        return None
    if spec.architecture == "three-layer-cnn":
        index = max(i for i, layer in enumerate(model.children()) if isinstance(layer, nn.Conv2d))
        return "the last convolution", model.get_submodule(str(index))
    side = spec.input_px // 32  # of layer4
    for name in LAYERS:
        if side >= SMALLEST_MAP:
            return name, model.get_submodule(name)
        side *= 2
    return "layer1", model.get_submodule("layer1")


def explain(
    model: nn.Module, spec: ModelSpec, images: np.ndarray, targets: np.ndarray, layer: nn.Module
) -> np.ndarray:
    """Return how much each place speaks for a class: (n, h, w) float32 in 0..1, highest 1.

    Args:
        images: (n, P, P, 3) uint8.
        targets: (n,) the class that each map is for.
    """
    x = to_input(torch.from_numpy(images), spec).float()
    maps: Tensor = LayerGradCam(model.eval(), layer).attribute(
        x, torch.from_numpy(targets), relu_attributions=True
    )
    values: np.ndarray = maps.detach()[:, 0].float().numpy()
    scaled: np.ndarray = values / np.maximum(values.max((1, 2), keepdims=True), 1e-12)
    return scaled
