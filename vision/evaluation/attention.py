"""Where a network looks: Grad-CAM, Selvaraju et al. (2017), by captum; or what it misses if hidden.

Transformers have no map of places that Grad-CAM could weigh, and networks that decide together
have several: parts of the image are covered one after the other instead, Zeiler and Fergus (2014).
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from captum.attr import LayerGradCam, Occlusion
from torch import Tensor, nn

from vision.models.batches import to_input
from vision.models.networks import AVERAGE, ModelSpec, find_last_layer
from vision.models.timm_networks import is_timm

SMALLEST_MAP = 4  # side; a map of one cell would say nothing
LAYERS = ("layer4", "layer3", "layer2", "layer1")  # of ResNet18, the last first
OCCLUSION = "occlusion"  # in place of a layer
PLACES = 8  # on a side, that are covered one after the other
WITHOUT_MAPS = ("maxvit_", "swin_", "vit_")  # what the names of transformers begin with
ATTENTION = "attn"  # what timm calls layers of transformers


class Target(NamedTuple):
    """What is looked at."""

    name: str  # of a layer, or OCCLUSION
    layer: nn.Module | None


def find_layer(model: nn.Module, spec: ModelSpec) -> Target | None:
    """Return the last layer whose map is large enough, or None if no layer keeps places apart."""
    if spec.architecture == "two-layer-fc":
        return None
    if spec.architecture == AVERAGE:
        return Target(OCCLUSION, None)  # the maps of its networks are of several sizes
    if spec.architecture == "three-layer-cnn":
        index = max(i for i, layer in enumerate(model.children()) if isinstance(layer, nn.Conv2d))
        return Target("the last convolution", model.get_submodule(str(index)))
    if spec.architecture != "resnet18":
        return find_last_map(model, spec)
    side = spec.input_px // 32  # of layer4
    for name in LAYERS:
        if side >= SMALLEST_MAP:
            return Target(name, model.get_submodule(name))
        side *= 2
    return Target("layer1", model.get_submodule("layer1"))


def find_last_map(model: nn.Module, spec: ModelSpec) -> Target:
    """Return the last layer that gives a map large enough, by running the network once."""
    layers = [name for name, _ in model.named_modules()]
    is_other = is_timm(spec.architecture) and any(ATTENTION in name for name in layers)
    if spec.architecture.startswith(WITHOUT_MAPS) or is_other:
        return Target(OCCLUSION, None)
    found: list[str] = []
    last = find_last_layer(model, spec).partition(".")[0]  # what turns maps into classes

    def note(name: str, module: nn.Module, args: tuple[object, ...], output: Any) -> None:
        if (
            isinstance(output, Tensor)
            and output.ndim == 4
            and min(output.shape[2:]) >= SMALLEST_MAP
        ):
            found.append(name)

    hooks = [
        layer.register_forward_hook(partial(note, name))
        for name, layer in model.named_modules()
        if name and name.partition(".")[0] != last
    ]
    with torch.inference_mode():
        model.eval()(torch.zeros(1, 3, spec.input_px, spec.input_px))
    for hook in hooks:
        hook.remove()
    return Target(found[-1], model.get_submodule(found[-1])) if found else Target(OCCLUSION, None)


def explain(
    model: nn.Module, spec: ModelSpec, images: np.ndarray, classes: np.ndarray, target: Target
) -> np.ndarray:
    """Return how much each place speaks for a class: (n, h, w) float32 in 0..1, highest 1.

    Args:
        images: (n, P, P, 3) uint8.
        classes: (n,) the class that each map is for.
    """
    x = to_input(torch.from_numpy(images), spec).float()
    wanted = torch.from_numpy(classes)
    if target.layer is None:
        maps = occlude(model.eval(), x, wanted)
    else:
        maps = LayerGradCam(model.eval(), target.layer).attribute(
            x, wanted, relu_attributions=True
        )[:, 0]
    values: np.ndarray = maps.detach().float().numpy()
    scaled: np.ndarray = values / np.maximum(values.max((1, 2), keepdims=True), 1e-12)
    return scaled


def occlude(model: nn.Module, x: Tensor, wanted: Tensor) -> Tensor:
    """Return how much the logit of a class falls when a place is covered by the mean colour.

    Args:
        x: (n, 3, P, P), normalised.
        wanted: (n,) classes.

    Returns:
        (n, h, w) of 0 and more.
    """
    step = max(1, x.shape[2] // PLACES)
    with torch.inference_mode():
        fall: Tensor = Occlusion(model).attribute(
            x, (3, step, step), strides=(3, step, step), target=wanted
        )
    return fall[:, 0, ::step, ::step].clamp(min=0)
