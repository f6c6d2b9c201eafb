"""Turn sections of params.yaml into types.

vision/schema has a module for each section, so that a new knob of one stage does not touch the code
of the others (and rerun them).
"""

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

from vision.base.errors import ParamsError
from vision.base.params import PARAMS_FILE, get_value, read_params


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
