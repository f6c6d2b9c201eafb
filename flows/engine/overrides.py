"""Changed params, as `dvc exp run -S` takes them: section.key=value."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dvc.utils.serialize import modify_yaml
from ruamel.yaml.error import YAMLError

from vision.base.errors import ParamsError
from vision.base.params import get_value, parse_yaml

SOURCE = "data.source"


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
    if isinstance(source := values.get(SOURCE), str):
        values[SOURCE] = find_source(source)
    return values


def find_source(typed: str) -> str:
    """Return the path that a typed `data.source` means, below the project or in full.

    `digits` is sources/digits.yaml. What is not there stays as it is, and is refused later.
    """
    described = Path("sources", f"{typed}.yaml")
    if described.is_file():
        return described.as_posix()
    path = Path(typed).expanduser()
    if not path.exists():
        return typed
    full = Path(os.path.abspath(path))  # noqa: PTH100 - a link in the project stays a link
    return full.relative_to(Path.cwd()).as_posix() if full.is_relative_to(Path.cwd()) else str(full)


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
