"""Check all of params.yaml before anything runs: each section by itself, and one with the other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vision.base.errors import ParamsError
from vision.base.params import Section, Seed, check_name, check_section
from vision.schema.baselines import check_baseline
from vision.schema.data import DataParams
from vision.schema.duplicates import DuplicatesParams
from vision.schema.evaluate import EvaluateParams
from vision.schema.explain import ExplainParams
from vision.schema.finetune import FinetuneParams
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
        ParamsError: naming the first key that is wrong.
        SourceError: `data.source` is not there.
    """
    if "models" not in params:
        return
    known = ["seed", *SECTIONS, *RECIPES]
    if unknown := [key for key in params if key not in known]:
        raise ParamsError(f"{unknown[0]} is unknown; params.yaml has {', '.join(known)}")
    if missing := [key for key in known if key not in params]:
        raise ParamsError(f"{missing[0]} is missing from params.yaml")
    check_section("", {"seed": params["seed"]}, Seed)
    for key, schema in SECTIONS.items():
        check_section(key, params[key], schema)
    for section in RECIPES:
        _check_recipes(section, params)
    check_section("data", params["data"], DataParams).locate(root)


def _check_recipes(section: str, params: Mapping[str, Any]) -> None:
    recipes = params[section]
    if not isinstance(recipes, dict):
        raise ParamsError(f"{section} must hold recipes by name, not {recipes!r}")
    for name in recipes:
        read_recipe(params, section, check_name(str(name)))
    for name in params["models"][section]:
        if name not in recipes:
            here = ", ".join(recipes)
            raise ParamsError(f"models.{section} names {name!r}; {section} has {here}")


def read_recipe(params: Mapping[str, Any], section: str, name: str) -> TrainParams:
    """Return the recipe `section.name` with its types."""
    values = params[section][name]
    if section == "baselines":
        return check_baseline(name, values)
    return check_section(f"{section}.{name}", values, FinetuneParams)
