"""Check all of params.yaml before anything runs: each section by itself, and one with the other."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vision.base.errors import ParamsError, PipelineError
from vision.base.params import check_name
from vision.base.sections import Section, Seed, check_section
from vision.schema.averages import AverageParams
from vision.schema.baselines import SCHEMAS, check_baseline
from vision.schema.data import DataParams
from vision.schema.duplicates import DuplicatesParams
from vision.schema.evaluate import EvaluateParams
from vision.schema.explain import ExplainParams
from vision.schema.finetune import DEFAULT, FinetuneParams
from vision.schema.recipes import TrainParams
from vision.schema.report import ModelsParams, PlotParams
from vision.schema.robustness import RobustnessParams
from vision.schema.split import SplitParams

SECTIONS: dict[str, type[Section]] = {
    "data": DataParams,
    "split": SplitParams,
    "models": ModelsParams,
    "evaluate": EvaluateParams,
    "robustness": RobustnessParams,
    "explain": ExplainParams,
    "duplicates": DuplicatesParams,
    "plot": PlotParams,
}
RECIPES = ("baselines", "finetune")  # sections that hold a recipe under each name


def check_params(params: Mapping[str, Any], root: Path = Path()) -> None:
    """Check each key and value as the stages would.

    The params of another project, without `models`, are not looked at.

    Args:
        root: the project, in which `data.source` must lie, or be a full path.

    Raises:
        ParamsError: with a line for each thing that is wrong.
    """
    if problems := list(find_problems(params, root)):
        raise ParamsError("\n".join(problems))


def find_problems(params: Mapping[str, Any], root: Path = Path()) -> Iterator[str]:
    """Yield what is wrong, section by section, then between sections."""
    if "models" not in params:
        return
    known = ["seed", *SECTIONS, *RECIPES]
    for key in params:
        if key not in known:
            yield f"{key} is unknown; params.yaml has {', '.join(known)}"
    for key in known:
        if key in params:
            yield from filter(None, map(_try, _list_checks(params, key, root)))
        else:
            yield f"{key} is missing from params.yaml"


def _list_checks(params: Mapping[str, Any], key: str, root: Path) -> Iterator[Callable[[], object]]:
    """Yield what a section must pass."""
    if key == "seed":
        yield partial(check_section, "", {"seed": params["seed"]}, Seed)
    elif key == "data":
        yield partial(_check_data, params, root)
    elif key == "models" and _get_averages(params) is None:
        yield partial(_refuse, "models.averages is missing from params.yaml: write averages: {}")
    elif key in SECTIONS:
        yield partial(check_section, key, params[key], SECTIONS[key])
        if key == "models":
            yield partial(_check_averages, params)
    elif not isinstance(params[key], dict):
        yield partial(_refuse, f"{key} must hold recipes by name, not {params[key]!r}")
    else:
        for name in params[key]:
            yield partial(_check_recipe, params, key, name)
        yield partial(_check_listed, params, key)


def _try(check: Callable[[], object]) -> str:
    """Return what a check says, if it fails."""
    try:
        check()
    except PipelineError as error:
        return str(error)
    return ""


def _refuse(message: str) -> None:
    raise ParamsError(message)


def _check_data(params: Mapping[str, Any], root: Path) -> None:
    check_section("data", params["data"], DataParams).locate(root)


def _check_recipe(params: Mapping[str, Any], section: str, name: str) -> None:
    recipe = read_recipe(params, section, check_name(str(name)))
    if isinstance(recipe, FinetuneParams) and recipe.architecture != DEFAULT:
        _check_network(params, recipe, f"{section}.{name}")


def _check_network(params: Mapping[str, Any], recipe: FinetuneParams, key: str) -> None:
    """Build a network, without its weights, and see that it fits its recipe."""
    from vision.training.finetuning import check_recipe  # torch takes seconds, which most runs save

    check_recipe(recipe, check_section("data", params.get("data"), DataParams).image_px, key)


def _check_listed(params: Mapping[str, Any], section: str) -> None:
    models = params.get("models")
    listed = models.get(section) if isinstance(models, dict) else None
    for name in listed if isinstance(listed, list) else ():
        if name not in params[section]:
            here = ", ".join(map(str, params[section]))
            raise ParamsError(f"models.{section} names {name!r}; {section} has {here}")


def _get_averages(params: Mapping[str, Any]) -> Any:
    """Return what `models.averages` holds; None where there is none, {} where `models` is amiss."""
    models = params["models"]
    return models.get("averages") if isinstance(models, dict) else {}


def _list_averages(params: Mapping[str, Any]) -> list[str]:
    averages = _get_averages(params)
    return [*averages] if isinstance(averages, dict) else []


def _check_averages(params: Mapping[str, Any]) -> None:
    """See that no average has the name of a recipe, listed or not: the report would mix them up."""
    for name in _list_averages(params):
        for section in RECIPES:
            if name in (params.get(section) or {}):
                raise ParamsError(f"models.averages.{name} has the name of {section}.{name}")


def list_keys(params: Mapping[str, Any]) -> Iterator[str]:
    """Yield the dotted keys that the stages know, whether params.yaml has them or not."""
    if "models" not in params:
        return
    yield "seed"
    for section, schema in SECTIONS.items():
        yield from (f"{section}.{key}" for key in schema.model_fields)
    for name in _list_averages(params):
        yield from (f"models.averages.{name}.{key}" for key in AverageParams.model_fields)
    for section in RECIPES:
        recipes = params.get(section)
        for name, values in recipes.items() if isinstance(recipes, dict) else ():
            for schema in _find_schemas(section, values):
                yield from (f"{section}.{name}.{key}" for key in schema.model_fields)


def _find_schemas(section: str, values: Any) -> list[type[Section]]:
    if section == "finetune":
        return [FinetuneParams]
    architecture = values.get("architecture") if isinstance(values, dict) else None
    if isinstance(architecture, str) and architecture in SCHEMAS:
        return [SCHEMAS[architecture]]
    return [*SCHEMAS.values()]


def read_recipe(params: Mapping[str, Any], section: str, name: str) -> TrainParams:
    """Return the recipe `section.name` with its types."""
    values = params[section][name]
    if section == "baselines":
        return check_baseline(name, values)
    return check_section(f"{section}.{name}", values, FinetuneParams)
