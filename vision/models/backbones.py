"""Any classifier of torchvision or timm, with a last layer of the right size, and its parts.

torchvision is imported where it is needed: it takes seconds, which the small networks save.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vision.base.errors import ParamsError
from vision.models.timm_networks import build_timm, check_timm, fit_timm, is_timm, read_facts

RESNETS = ("resnet", "resnext", "wide_resnet")  # what the names of ResNets begin with
HALVES = ((0.5,) * 3, (0.5,) * 3)
FROM_TENSORFLOW = ("googlenet", "inception_v3")  # trained on values from -1 to 1
AUXILIARY = re.compile(r"(?i)aux(logits|\d)?\.")  # losses in the middle, which only they have
UNLIKELY = 7919  # classes: no other layer has so many outputs
FEW_PARTS = 4  # with no more than these, the largest is taken apart
# A name that old files of DenseNets have for what is called `norm1` and the like today.
OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


class Preparation(NamedTuple):
    """What pretrained weights expect of images."""

    mean: tuple[float, ...]  # of values in 0..1, one for each of red, green and blue
    std: tuple[float, ...]
    px: int  # side of the squares that they were trained on


@cache
def list_backbones() -> tuple[str, ...]:
    from torchvision import models

    return tuple(models.list_models(module=models))


def check_name(name: str, key: str) -> None:
    """Raise ParamsError unless torchvision, or timm for timm/NAME, has a classifier of this name.

    Args:
        key: of the param, for the message.
    """
    if is_timm(name):
        check_timm(name, key)
        network = outline_backbone(name, 2, find_preparation(name).px)
        if find_head(name) not in dict(network.named_modules()):
            raise ParamsError(f"{key} is {name!r}, which has no single last layer: choose another")
        return
    if name not in (names := list_backbones()):
        near = get_close_matches(name, names, n=5, cutoff=0.4) or names[:5]
        raise ParamsError(
            f"{key} is {name!r}: torchvision has {len(names)} classifiers, such as "
            f"{', '.join(near)}; all: https://pytorch.org/vision/stable/models.html"
        )


def build_backbone(name: str, n_classes: int, input_px: int, max_pool: bool = True) -> nn.Module:
    """Return the network with random weights.

    Args:
        input_px: side of the images; some networks are built for one size.
        max_pool: False leaves the pooling of a ResNet before its first block out: all maps are
            twice as wide.

    Raises:
        ValueError, AssertionError, TypeError: it cannot be built for this size.
    """
    if is_timm(name):
        return build_timm(name, n_classes, input_px)
    from torchvision import models

    options: dict[str, Any] = {}
    if name.startswith("vit_"):
        options = {"image_size": input_px}
    elif name.startswith("maxvit_"):
        options = {"input_size": (input_px, input_px)}
    elif name in FROM_TENSORFLOW:
        options = {"aux_logits": False, "init_weights": True}
    network: nn.Module = models.get_model(name, num_classes=n_classes, **options)
    if not max_pool:
        network.maxpool = nn.Identity()
    return network


class _RealRanges(TorchFunctionMode):
    """Lets ranges and what stands in the code have values: RegNets count their layers by them."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        real = {"device": "cpu"} if func in (torch.arange, torch.tensor) else {}
        return func(*args, **{**real, **(kwargs or {})})


@contextmanager
def outlining() -> Iterator[None]:
    """Build networks without values for their weights: no memory, no random numbers."""
    with torch.device("meta"), _RealRanges():
        yield


def outline_backbone(name: str, n_classes: int, input_px: int) -> nn.Module:
    """Return the network without values for anything: its shapes alone."""
    with outlining():
        return build_backbone(name, n_classes, input_px).to("meta")


def check_size(name: str, input_px: int, key: str) -> None:
    """Raise ParamsError unless the network takes images of this side.

    Args:
        key: of the recipe, for the message.
    """
    try:
        network = outline_backbone(name, 2, input_px).eval()
        network(torch.empty(2, 3, input_px, input_px, device="meta"))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        good = find_preparation(name).px
        raise ParamsError(
            f"{key}: {name} cannot take images of {input_px} pixels ({reason}): set {key}.input_px "
            f"to {good}, on which its weights were trained, or another"
        ) from None


@cache
def find_head(name: str, input_px: int = 224) -> str:
    """Return the name of the last layer, the one whose size depends on the number of classes."""
    if is_timm(name):
        return str(read_facts(name).classifier)
    weights = outline_backbone(name, UNLIKELY, input_px).named_parameters()
    key = next(key for key, weight in weights if weight.shape[0] == UNLIKELY)
    return key.rpartition(".")[0]


def list_parts(model: nn.Module) -> list[str]:
    """Return the names of the parts that have weights, from the image to the classes.

    These are the network's children; of a network of few, the largest is taken apart.
    """
    parts = _list_children(model, "")
    while len(parts) <= FEW_PARTS:
        for part in sorted(parts, key=lambda name: -_count(model, name)):
            if inner := _list_children(model, part):
                place = parts.index(part)
                parts[place : place + 1] = inner
                break
        else:
            return parts
    return parts


@cache
def find_preparation(name: str) -> Preparation:
    """Return what the network's default ImageNet weights expect of images."""
    if is_timm(name):
        facts = read_facts(name)
        return Preparation(tuple(facts.mean), tuple(facts.std), facts.input_size[1])
    from torchvision import models

    how = models.get_model_weights(name).DEFAULT.transforms()
    mean, std = HALVES if name in FROM_TENSORFLOW else (tuple(how.mean), tuple(how.std))
    return Preparation(mean, std, how.crop_size[0])


def rename_keys(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under the names of today, without those of losses in the middle."""
    return {
        OLD_NAME.sub(r"\1\2", key): value
        for key, value in tensors.items()
        if not (name in FROM_TENSORFLOW and AUXILIARY.match(key))
    }


def fit_positions(
    name: str, tensors: dict[str, Tensor], model: nn.Module, input_px: int
) -> dict[str, Tensor]:
    """Return weights of a vision transformer with its positions for images of this side."""
    if is_timm(name):
        return fit_timm(name, tensors, input_px)
    if not name.startswith("vit_"):
        return tensors
    from torchvision.models.vision_transformer import interpolate_embeddings

    size: Any = model.patch_size
    return dict(interpolate_embeddings(input_px, size, dict(tensors)))


def _list_children(model: nn.Module, part: str) -> list[str]:
    children: Iterator[tuple[str, nn.Module]] = model.get_submodule(part).named_children()
    prefix = part and f"{part}."
    return [f"{prefix}{name}" for name, child in children if any(True for _ in child.parameters())]


def _count(model: nn.Module, part: str) -> int:
    return sum(weight.numel() for weight in model.get_submodule(part).parameters())
