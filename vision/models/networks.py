"""The networks, and how a trained one is stored so that it can be rebuilt from its file."""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from vision.base.files import write_bytes
from vision.data.shards import CROP
from vision.models.averages import Average, Channels, Feed
from vision.models.backbones import build_backbone, find_head, fit_positions, outlining
from vision.models.whitened import WhitenedCNN

HAND_MADE = ("two-layer-fc", "three-layer-cnn", "whitened-cnn")
AVERAGE = "average"  # of trained networks, which its options describe
# Facts that came after the first models: left out of a file where they are as they were then.
LATER = {"test_views_below": 0.0, "fit": CROP}
METADATA_KEY = "spec"  # safetensors writes several keys in no fixed order; one key is stable


@dataclass(frozen=True)
class ModelSpec:
    """All that is needed to rebuild a network and to feed it, stored beside its weights."""

    # one of HAND_MADE, a classifier of torchvision or, timm/NAME, of timm, or AVERAGE
    architecture: str
    classes: tuple[str, ...]
    image_px: int  # side of the square that an image is stored as
    input_px: int  # side of the square that the network sees
    mean: Channels  # of images scaled to 0..1
    std: Channels
    precision: str = "fp32"  # or bf16: mixed precision by autocast
    test_flip: bool = False  # average the logits of each image and of its mirror image
    test_shift_px: int = 0  # average also those of the image shifted there and back, diagonally
    # average only where the first view's highest probability is below this; 0: always
    test_views_below: float = 0.0
    fit: str = CROP  # how an oblong image becomes a square: see vision/data/images.py
    options: dict[str, Any] = field(default_factory=dict)  # arguments of the architecture
    epoch: int = 0  # of training, from 1; 0 is untrained, or an average


class TwoLayerFC(nn.Sequential):
    """Flatten, dense, ReLU, dense: the paper's first hand-made network."""

    def __init__(self, n_classes: int, input_px: int, hidden_units: int) -> None:
        super().__init__(
            nn.Flatten(),  # (B, 3, P, P) -> (B, 3 * P * P)
            nn.Linear(3 * input_px**2, hidden_units),
            nn.ReLU(),
            nn.Linear(hidden_units, n_classes),
        )


class ThreeLayerCNN(nn.Sequential):
    """Convolution 5x5, convolution 3x3, dense, with ReLU between: the paper's second network.

    Args:
        filters: channels after the first and after the second convolution.
        pooling: halve the image after each convolution with a 2x2 maximum.
        dropout: share of the inputs of the dense layer that is zeroed in training.
    """

    def __init__(
        self,
        n_classes: int,
        input_px: int,
        filters: list[int],
        pooling: bool = False,
        dropout: float = 0.0,
    ) -> None:
        first, second = filters
        pool: list[nn.Module] = [nn.MaxPool2d(2)] if pooling else []
        side = input_px // 4 if pooling else input_px
        super().__init__(
            nn.Conv2d(3, first, kernel_size=5, padding=2),
            nn.ReLU(),
            *pool,
            nn.Conv2d(first, second, kernel_size=3, padding=1),
            nn.ReLU(),
            *pool,
            nn.Flatten(),  # (B, second, side, side) -> (B, second * side * side)
            nn.Dropout(dropout),
            nn.Linear(second * side**2, n_classes),
        )


def build_model(spec: ModelSpec) -> nn.Module:
    """Return the network with weights drawn from torch's global generator."""
    n_classes = len(spec.classes)
    match spec.architecture:
        case "two-layer-fc":
            return TwoLayerFC(n_classes, spec.input_px, **spec.options)
        case "three-layer-cnn":
            return ThreeLayerCNN(n_classes, spec.input_px, **spec.options)
        case "whitened-cnn":
            return WhitenedCNN(n_classes, spec.input_px, **spec.options)
        case "average":
            members = list_members(spec)
            feeds = [Feed(each.mean, each.std, each.input_px) for each in members]
            feed = Feed(spec.mean, spec.std, spec.input_px)
            return Average(map(build_model, members), feeds, spec.options["shares"], feed)
    return build_backbone(spec.architecture, n_classes, spec.input_px, **spec.options)


def outline_model(spec: ModelSpec) -> nn.Module:
    """Return the network without values for its weights: no memory, no random numbers."""
    with outlining():
        return build_model(spec)


def describe_average(members: Sequence[ModelSpec], shares: Sequence[float]) -> ModelSpec:
    """Return the spec of networks that decide together, of the same classes and stored images.

    Views and precision are those of each network, in its own spec.
    """
    first = members[0]
    return ModelSpec(
        architecture=AVERAGE,
        classes=first.classes,
        image_px=first.image_px,
        input_px=first.image_px,
        mean=first.mean,
        std=first.std,
        fit=first.fit,
        options={"members": [asdict(each) for each in members], "shares": list(shares)},
    )


def change_spec(spec: ModelSpec, **changes: Any) -> ModelSpec:
    """Return a spec with changes, which the networks of an average have, too."""
    if members := [asdict(change_spec(each, **changes)) for each in list_members(spec)]:
        changes["options"] = spec.options | {"members": members}
    return replace(spec, **changes)


def list_members(spec: ModelSpec) -> list[ModelSpec]:
    """Return the specs of the networks that an average is of; none of a single network."""
    return [read_spec(values) for values in spec.options.get("members", [])]


def read_spec(values: dict[str, Any]) -> ModelSpec:
    """Return a spec from what JSON has of it."""
    return ModelSpec(**values | {key: tuple(values[key]) for key in ("classes", "mean", "std")})


def find_last_layers(model: nn.Module, spec: ModelSpec) -> list[str]:
    """Return the names of the layers that turn features into classes: one, but for an average."""
    if spec.architecture != AVERAGE:
        return [find_last_layer(model, spec)]
    return [
        f"members.{index}.{name}"
        for index, member in enumerate(list_members(spec))
        for name in find_last_layers(model.get_submodule(f"members.{index}"), member)
    ]


def find_last_layer(model: nn.Module, spec: ModelSpec) -> str:
    """Return the name of the layer that turns a network's features into classes."""
    if spec.architecture in HAND_MADE:
        return [name for name, _ in model.named_children()][-1]
    return find_head(spec.architecture)


def load_backbone(model: nn.Module, spec: ModelSpec, weights: dict[str, Tensor]) -> None:
    """Copy pretrained weights into a network, all but its last layer, which stays as it is."""
    head = f"{find_head(spec.architecture)}."
    body = {key: value for key, value in weights.items() if not key.startswith(head)}
    body = fit_positions(spec.architecture, body, model, spec.input_px)
    missing, unexpected = model.load_state_dict(to_state(model, body), strict=False)
    if bad := [*unexpected, *(key for key in missing if not key.startswith(head))]:
        raise ValueError(f"not the weights of {spec.architecture}: {sorted(bad)}")


def to_state(model: nn.Module, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return tensors as a state of today's `model`; MNASNet asks for the version of its layers."""
    state = OrderedDict(tensors)
    state._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    return state


def count_parameters(model: nn.Module, trainable: bool = False) -> int:
    """Count all weights, or those that train."""
    weights = model.parameters()
    return sum(weight.numel() for weight in weights if weight.requires_grad or not trainable)


def save_model(path: Path, state: dict[str, Tensor], spec: ModelSpec) -> None:
    """Write weights and spec as safetensors: unlike torch.save's, its bytes hold no file name."""
    tensors = {key: state[key].contiguous() for key in sorted(state)}
    facts = {key: value for key, value in asdict(spec).items() if LATER.get(key) != value}
    text = json.dumps(facts, sort_keys=True)
    write_bytes(path, save(tensors, metadata={METADATA_KEY: text}))


def load_model(path: Path) -> tuple[nn.Module, ModelSpec]:
    """Rebuild a network from its file, in evaluation mode."""
    with safe_open(path, framework="pt") as file:
        values: dict[str, Any] = json.loads(file.metadata()[METADATA_KEY])
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    spec = read_spec(values)
    model = outline_model(spec)
    model.load_state_dict(to_state(model, state), assign=True)
    return model.eval(), spec
