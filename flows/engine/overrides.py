"""Changed params, as `dvc exp run -S` takes them: section.key=value."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dvc.utils.serialize import modify_yaml
from ruamel.yaml.error import YAMLError

from vision.base.errors import ParamsError
from vision.base.params import get_value, parse_yaml


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Read `section.key=value` texts; the values are YAML.

    Raises:
        ParamsError: there is no `=`, or no key before it.
    """
    values = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not (key and equals):
            raise ParamsError(f"{override!r} does not change a param: write section.key=value")
        values[key] = parse_value(text)
    return values


def parse_value(text: str) -> Any:
    """Read a value as params.yaml would have it.

    Raises:
        ParamsError: it is not valid YAML.
    """
    try:
        return parse_yaml(text)
    except YAMLError:
        raise ParamsError(f"{text!r} is not a value: quote what YAML reads otherwise") from None


def apply_overrides(params: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """Overwrite values of existing keys.

    Raises:
        ParamsError: a key does not exist.
    """
    for key, value in overrides.items():
        get_value(params, key)
        section, _, last = key.rpartition(".")
        (get_value(params, section) if section else params)[last] = value


def set_params(tree: Path, overrides: Mapping[str, Any]) -> None:
    """Overwrite values in the tree's params.yaml; its comments stay."""
    if overrides:
        with modify_yaml(str(tree / "params.yaml")) as params:
            apply_overrides(params, overrides)
