"""Read params.yaml as DVC does. Its sections become types in sections.py."""

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from vision.base.errors import ParamsError

PARAMS_FILE = Path("params.yaml")
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")  # of a recipe: a path and a word in a shell command


def read_yaml(path: Path) -> Any:
    """Return what a file holds for DVC: YAML 1.2, in which 010 is ten and 1e-4 a number.

    Raises:
        ParamsError: it is not there or cannot be read.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} does not exist: run from the project's top folder") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} is not valid YAML: {_describe_yaml(error)}") from None


def parse_yaml(text: str) -> Any:
    return deepcopy(_parse_yaml(text))


@lru_cache(maxsize=8)
def _parse_yaml(text: str) -> Any:
    return YAML(typ="safe").load(text)


def read_params(path: Path = PARAMS_FILE) -> dict[str, Any]:
    params = read_yaml(path)
    if not isinstance(params, dict):
        raise ParamsError(f"{path} must hold sections, not {type(params).__name__}")
    return params


def list_stages(content: Any) -> dict[str, dict[str, Any]]:
    """Return the stages of what dvc.yaml holds, by name.

    What a stage says under `do`, for each item of its `foreach`, stands beside the rest.
    """
    stages = content.get("stages") if isinstance(content, dict) else None
    found = {}
    for name, entry in stages.items() if isinstance(stages, dict) else ():
        if isinstance(entry, dict):
            each = entry.get("do")
            found[name] = entry | each if isinstance(each, dict) else entry
    return found


def get_value(params: dict[str, Any], key: str) -> Any:
    """Return the value of a dotted key, such as `finetune.paper.learning_rate`."""
    value: Any = params
    seen: list[str] = []
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            here = ".".join(seen) or "params.yaml"
            keys = ", ".join(map(str, value)) if isinstance(value, dict) else "no keys"
            raise ParamsError(f"{key} is missing: {here} has {keys}")
        seen.append(part)
        value = value[part]
    return value


def flatten(params: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of each leaf."""
    for key, value in params.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def check_name(name: str) -> str:
    """Return the name of a recipe if it is safe in a path and in a command."""
    if not NAME.fullmatch(name):
        raise ParamsError(f"{name!r} cannot name a recipe: use a-z, 0-9 and - (64 at most)")
    return name


def _describe_yaml(error: Exception) -> str:
    """Return what is wrong in one line."""
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())
