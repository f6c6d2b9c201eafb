"""Classifiers of the package timm, an extra: timm/NAME. It is imported where a recipe names one."""

import re
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from vision.base.errors import ParamsError, SourceError

PREFIX = "timm/"
INSTALL = "pip install 'timm>=1,<2'"  # the extra `timm` of pyproject.toml
HUB = "https://huggingface.co"
DIGITS = re.compile(r"-([0-9a-f]{8,})\.pth$")  # first ones of the SHA-256, at the end of an address
LOOK = "timm.list_models()"


def is_timm(name: str) -> bool:
    return name.startswith(PREFIX)


def import_timm(name: str) -> ModuleType:
    """Return the package.

    Raises:
        ParamsError: it is not installed.
    """
    try:
        import timm
    except ImportError:
        raise ParamsError(
            f"{name} needs the package timm, which is not installed: {INSTALL}, or choose a "
            "classifier of torchvision"
        ) from None
    package: ModuleType = timm
    return package


def check_timm(name: str, key: str) -> None:
    """Raise ParamsError unless timm has a network of this name.

    Args:
        key: of the param, for the message.
    """
    timm, own = import_timm(name), name.removeprefix(PREFIX)
    models = timm.list_models()
    if own not in models and own not in timm.list_pretrained():
        near = get_close_matches(own, models, n=5, cutoff=0.4) or models[:5]
        raise ParamsError(
            f"{key} is {name!r}: timm {timm.__version__} has {len(models)} classifiers, such as "
            f"{', '.join(PREFIX + each for each in near)}; all: {LOOK}"
        )


def read_facts(name: str) -> Any:
    """Return what timm says of a network's weights: where they are, and what they expect."""
    timm = import_timm(name)
    own = name.removeprefix(PREFIX)
    return timm.get_pretrained_cfg(own) or timm.models.PretrainedCfg(architecture=own)


def build_timm(name: str, n_classes: int, input_px: int, **more: Any) -> nn.Module:
    """Return the network with random weights, for images of this side.

    Raises:
        TypeError: it is built for one size alone, which is another.
    """
    timm, facts = import_timm(name), read_facts(name)
    if facts.fixed_input_size and input_px != facts.input_size[1]:
        more |= {"img_size": input_px}
    network: nn.Module = timm.create_model(name.removeprefix(PREFIX), num_classes=n_classes, **more)
    return network


def fit_timm(name: str, tensors: dict[str, Tensor], input_px: int) -> dict[str, Tensor]:
    """Return weights, without those of the last layer, with positions for images of this side."""
    facts = read_facts(name)
    if not facts.fixed_input_size or input_px == facts.input_size[1]:
        return tensors
    overlay = {"state_dict": dict(tensors), "num_classes": 1, "custom_load": False}
    more = {"pretrained": True, "pretrained_cfg_overlay": overlay}
    state = build_timm(name, 2, input_px, **more).state_dict()
    return {
        key: value for key, value in state.items() if not key.startswith(f"{facts.classifier}.")
    }


def find_address(name: str) -> tuple[str, str, dict[str, str]]:
    """Return where a network's weights are, what the file is called here, and its known digests.

    timm names an address, which may end in the first digits of a SHA-256, or a repository of the
    Hugging Face Hub, of whose file it has no checksum.

    Raises:
        ParamsError: timm has no weights for it.
    """
    facts = read_facts(name)
    if facts.url and (digits := DIGITS.search(facts.url)):
        return facts.url, facts.url.rpartition("/")[2], {"sha256": digits[1]}
    if not facts.hf_hub_id:
        raise ParamsError(f"timm has no pretrained weights for {name}: set weights: none")
    file = facts.hf_hub_filename or "model.safetensors"
    called = ".".join(filter(None, [facts.architecture, facts.tag])) + Path(file).suffix
    return f"{HUB}/{facts.hf_hub_id}/resolve/main/{file}", called, {}


def read_timm(path: Path, name: str) -> dict[str, Tensor]:
    """Return a file's weights under timm's keys of today, but for the last layer's.

    Raises:
        SourceError: they are of another network.
    """
    facts = read_facts(name)
    overlay = {"file": str(path), "custom_load": False}
    more = {"pretrained": True, "pretrained_cfg_overlay": overlay}
    try:
        network = build_timm(name, facts.num_classes, facts.input_size[1], **more)
    except (RuntimeError, KeyError) as error:
        reason = str(error).partition("\n")[2].strip().partition("\n")[0] or str(error)
        raise SourceError(f"{path.name} does not fit timm's {name}: {reason}") from None
    state = network.state_dict()
    return {
        key: value for key, value in state.items() if not key.startswith(f"{facts.classifier}.")
    }
