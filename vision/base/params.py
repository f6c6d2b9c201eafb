"""Read params.yaml as DVC does, and turn its sections into types.

vision/schema has a module for each section, so that a new knob of one stage does not touch the code
of the others (and rerun them).
"""

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from vision.base.errors import ParamsError

PARAMS_FILE = Path("params.yaml")
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")  # of a recipe: a path and a word in a shell command


class Section(BaseModel):
    """A section of params.yaml: unknown keys are errors, and values have the type of their key.

    DVC holds 1, 1.0 and true to be the same, and reruns nothing for them: here they are the same,
    too. Nothing else is converted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _keep_equal(cls, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        checked = check(value)
        if checked != value:
            raise ValueError(f"{value!r} is text, not a number or true or false: leave out quotes")
        return checked


class Seed(Section):
    seed: int = Field(ge=0, lt=2**32)


S = TypeVar("S", bound=Section)


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


def load_section(key: str, schema: type[S], path: Path = PARAMS_FILE) -> S:
    """Read and check one section, such as `split` or `finetune.paper`.

    Raises:
        ParamsError: naming the first key that is unknown, missing or has a wrong value.
    """
    return check_section(key, get_value(read_params(path), key), schema)


def check_section(key: str, values: Any, schema: type[S]) -> S:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise ParamsError(_describe(key, error, schema)) from None


def load_seed(path: Path = PARAMS_FILE) -> int:
    return check_section("", {"seed": get_value(read_params(path), "seed")}, Seed).seed


def check_name(name: str) -> str:
    """Return the name of a recipe if it is safe in a path and in a command."""
    if not NAME.fullmatch(name):
        raise ParamsError(f"{name!r} cannot name a recipe: use a-z, 0-9 and - (64 at most)")
    return name


def _describe(key: str, error: ValidationError, schema: type[Section]) -> str:
    errors = error.errors(include_url=False)
    # A misspelt key is both unknown and missing; the unknown one tells more.
    first = min(errors, key=lambda found: found["type"] != "extra_forbidden")
    where = ".".join([*filter(None, [key]), *map(str, first["loc"])])
    match first["type"]:
        case "extra_forbidden":
            return f"{where} is unknown; {key} has {', '.join(sorted(schema.model_fields))}"
        case "missing":
            return f"{where} is missing from params.yaml"
        case "value_error":
            return f"{where}: {first['ctx']['error']}"
        case _:
            return f"{where} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _describe_yaml(error: Exception) -> str:
    """Return what is wrong in one line."""
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())
