"""Changed params, as `dvc exp run -S` takes them: section.key=value, +section.key=value, ~key.

This is the one reader of what is typed: for a plan, a run, a grid and a search.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dvc.utils.serialize import modify_yaml
from ruamel.yaml.error import YAMLError

from flows.engine.settings import list_keys
from vision.base.errors import ParamsError
from vision.base.params import get_value, parse_yaml

SOURCE = "data.source"
KEY = re.compile(r"(\+\+|\+|~|)([^\s+~=][^=]*)")  # what is done with it, and the key itself
ABSENT = object()


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Read `section.key=value` texts; the values are YAML.

    Returns:
        The values by key. Before a key stands what is done with it: + for one that params.yaml
        does not have, ++ for one that it may have, ~ for one that goes.

    Raises:
        ParamsError: a text is no override, or its value no YAML.
    """
    values = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        match = KEY.fullmatch(key)
        if not match or not (equals or match[1] == "~"):
            raise ParamsError(f"{override!r} does not change a param: write section.key=value")
        value = parse_value(text) if equals else None
        if match[2] == SOURCE and match[1] != "~" and isinstance(value, str):
            value = find_source(value)
        values[key] = value
    return values


def find_source(typed: str) -> str:
    """Return the path that a typed `data.source` means, below the project or in full.

    `digits` is sources/digits.yaml. What is not there stays as it is, and is refused later.
    """
    described = Path("sources", f"{typed}.yaml")
    if "\0" in typed or not typed:
        return typed
    if described.is_file():
        return described.as_posix()
    path = _expand(typed)
    if not path.exists():
        return typed
    full = Path(os.path.abspath(path))  # noqa: PTH100 - a link in the project stays a link
    return full.relative_to(Path.cwd()).as_posix() if full.is_relative_to(Path.cwd()) else str(full)


def _expand(typed: str) -> Path:
    try:
        return Path(typed).expanduser()
    except RuntimeError:  # ~someone, whom this machine does not know
        return Path(typed)


def parse_value(text: str) -> Any:
    """Read a value as params.yaml would have it.

    Raises:
        ParamsError: it is not valid YAML.
    """
    try:
        return parse_yaml(text)
    except (YAMLError, ValueError):
        raise ParamsError(f"{text!r} is not a value: quote what YAML reads otherwise") from None


def apply_overrides(params: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """Set, add and remove keys, as `dvc exp run -S` would.

    A key that a stage knows, and for which params.yaml leaves the default, needs no +.

    Raises:
        ParamsError: a key does not exist, or does and should not.
    """
    for text, value in overrides.items():
        match = KEY.fullmatch(text)
        assert match, text
        action, key = match[1], match[2]
        if action == "~":
            _remove(params, key, value)
            continue
        found = _find(params, key)
        merged = isinstance(found, dict) and isinstance(value, dict)
        if action == "+" and found is not ABSENT and not merged:
            raise ParamsError(f"+{key}: params.yaml has {key} already: leave out the +")
        if not action and found is ABSENT:
            _check_known(params, key)
        _put(params, key.split("."), value)


def _find(params: dict[str, Any], key: str) -> Any:
    try:
        return get_value(params, key)
    except ParamsError:
        return ABSENT


def _check_known(params: dict[str, Any], key: str) -> None:
    known, section = list(list_keys(params)), key.rpartition(".")[0]
    if key in known:
        return
    if here := [other for other in known if other.rpartition(".")[0] == section and section]:
        names = ", ".join(sorted(other.rpartition(".")[2] for other in here))
        raise ParamsError(f"{key} is unknown; {section} has {names}")
    get_value(params, key)  # which says what there is


def _remove(params: dict[str, Any], key: str, expected: Any) -> None:
    found = get_value(params, key)
    if expected is not None and found != expected:
        raise ParamsError(f"~{key}={expected!r}: it is {found!r}")
    section, _, last = key.rpartition(".")
    del (get_value(params, section) if section else params)[last]


def _put(params: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set a value; one that holds keys is merged into what is there."""
    first, *rest = path
    here = params.get(first)
    if rest:
        if first not in params:
            here = params[first] = {}
        if not isinstance(here, dict):
            raise ParamsError(f"{first} is {here!r}, and has no {'.'.join(rest)}")
        _put(here, rest, value)
    elif isinstance(value, dict) and isinstance(here, dict):
        for key, inner in value.items():
            _put(here, [key], inner)
    else:
        params[first] = value


def set_params(tree: Path, overrides: Mapping[str, Any]) -> None:
    """Change the tree's params.yaml; its comments stay."""
    if overrides:
        with modify_yaml(str(tree / "params.yaml")) as params:
            apply_overrides(params, overrides)
