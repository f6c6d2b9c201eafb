"""What a sweep may take for its params, and whether all of it can run, before any of it does."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flows.engine.checks import check_count
from flows.engine.folds import differ_in_fold_alone
from flows.engine.overrides import KEY, apply_overrides, parse_overrides, parse_value
from flows.engine.settings import RECIPES, check_params
from vision.base.errors import DataError, ParamsError
from vision.base.files import read_json
from vision.base.params import PARAMS_FILE, read_params

METRICS = Path("reports/metrics.json")
OPEN, CLOSE, QUOTES = "[{", "]}", "\"'"
MOST_CHECKED = 256  # of the ways in which the values of a search go together


class Choices(NamedTuple):
    """What a grid or a search may take for a key."""

    key: str
    values: list[str]  # as typed; of a range, its two ends
    is_range: bool = False

    def write(self) -> list[str]:
        """Return an override for each value."""
        return [f"{self.key}={value}" for value in self.values]


def parse_choices(text: str, ranges: bool = False) -> Choices:
    """Read `section.key=value,value`, or `section.key=low..high` where there may be ranges.

    A comma inside brackets or quotes belongs to a value.

    Raises:
        ParamsError: naming the text, and what it should be.
    """
    key, equals, values = text.partition("=")
    if not equals or not KEY.fullmatch(key):
        part = "search: write section.key=low..high or" if ranges else "grid: write"
        raise ParamsError(f"{text!r} is no part of a {part} section.key=value,value")
    listed = split_values(values)
    if len(listed) > 1 and not all(value.strip() for value in listed):
        raise ParamsError(f"{text!r} has an empty value: is there a comma too many?")
    for value in listed:
        parse_value(value)
    if ranges and len(listed) == 1 and ".." in values and values[:1] not in tuple(QUOTES):
        return _parse_range(text, key, values)
    return Choices(key, listed)


def _parse_range(text: str, key: str, values: str) -> Choices:
    ends = values.split("..", 1)
    low, high = (parse_value(end) for end in ends)
    for end in (low, high):
        if type(end) not in (int, float) or not math.isfinite(end):
            raise ParamsError(f"{text!r}: the ends of a range are numbers, and {end!r} is none")
    if low >= high:
        raise ParamsError(f"{text!r}: a range goes from low to high; write {high}..{low}")
    return Choices(key, ends, is_range=True)


def split_values(text: str) -> list[str]:
    """Split at the commas that are in no brackets and no quotes."""
    parts, depth, quote, before = [""], 0, "", ","
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in QUOTES and before in f",:{OPEN}":
            quote = sign
        depth += 0 if quote else (sign in OPEN) - (sign in CLOSE)
        if sign == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += sign
        before = before if sign.isspace() else sign
    return parts


def expand_grid(grid: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield every combination of the values of `section.key=value,value,...` texts.

    Raises:
        ParamsError: a text is no part of a grid, or a key is in two.
    """
    if grid:
        yield from itertools.product(*(choices.write() for choices in _read_choices(grid)))


def read_search(search: Sequence[str]) -> list[Choices]:
    """Return what a search may choose from.

    Raises:
        ParamsError: a text is no part of a search, or a key is in two.
    """
    return _read_choices(search, ranges=True)


def _read_choices(texts: Sequence[str], ranges: bool = False) -> list[Choices]:
    found = [parse_choices(text, ranges) for text in texts]
    keys = [choices.key.lstrip("+") for choices in found]
    for key in keys:
        if keys.count(key) > 1:
            raise ParamsError(f"{key} is there twice: write all its values behind one =")
    return found


def check_sweep(
    grid: Sequence[str] | None,
    experiments: Sequence[Sequence[str]] | None,
    search: Sequence[str] | None,
    trials: int,
    metric: str,
    parallel: int,
    root: Path = Path(),
) -> None:
    """Check all that a sweep may run, and its metric.

    Raises:
        ParamsError: nothing to run, a test figure as metric, or what no stage would take.
    """
    check_count("trials", trials)
    check_count("parallel", parallel)
    if search and (grid or experiments):
        raise ParamsError("a search chooses by itself: give either search or grid")
    if search:
        check_search(read_search(search), metric, root)
    elif listed := [*expand_grid(grid or []), *(experiments or [])]:
        check_experiments(list(map(tuple, listed)), metric, root)
    else:
        raise ParamsError("nothing to run: give grid, experiments or search")


def check_experiments(experiments: Sequence[Sequence[str]], metric: str, root: Path) -> None:
    """Check the params of each experiment as the stages would, and that it has the metric.

    Raises:
        ParamsError: naming the experiment by its changes.
    """
    chooses = not differ_in_fold_alone(experiments)
    for changes in experiments:
        try:
            params = _change(changes, root)
        except ParamsError as error:
            raise ParamsError(f"{', '.join(changes)}: {error}") from None
        check_metric(metric, params, root, chooses)


def check_search(search: Sequence[Choices], metric: str, root: Path) -> None:
    """See that each value, or end of a range, can run together with some value of the others.

    Raises:
        ParamsError: naming the value that never can.
    """
    refused: dict[str, str] = {}
    passed: set[str] = set()
    combinations = itertools.product(*(choices.write() for choices in search))
    for changes in itertools.islice(combinations, MOST_CHECKED):
        try:
            params = _change(changes, root)
        except ParamsError as error:
            refused |= dict.fromkeys(changes, str(error))
        else:
            passed.update(changes)
            check_metric(metric, params, root)
    for change, why in refused.items():
        if change not in passed:
            raise ParamsError(f"{change}: {why}")


def _change(changes: Sequence[str], root: Path) -> dict[str, Any]:
    params = read_params(root / PARAMS_FILE)
    apply_overrides(params, parse_overrides(changes))
    check_params(params, root)
    return params


def check_metric(metric: str, params: Mapping[str, Any], root: Path, chooses: bool = True) -> None:
    """See that a run with these params will give a metric that a sweep may choose by.

    Raises:
        ParamsError: it is about the test split, or no run gives it.
    """
    if chooses and "test" in metric:
        raise ParamsError(f"{metric} is about the test split, which must not choose: use val")
    if "models" not in params:  # of another project
        return
    head, _, rest = metric.partition(".")
    name, _, field = rest.partition(".")
    listed = params["models"]["evaluate"]
    if head != "models" or name not in listed or not field:
        names = ", ".join(listed)
        raise ParamsError(
            f"there is no metric {metric}: write models.NAME.val_accuracy, NAME one of {names}"
        )
    known, (plain, mean, _) = _list_fields(name, root, chooses), field.partition("_mean")
    if known and field not in known and plain not in known:
        raise ParamsError(f"there is no metric {metric}: models.{name} has {', '.join(known)}")
    if mean and not all(recipe.get("repeats") for recipe in _find_recipes(name, params)):
        raise ParamsError(f"there is no metric {metric}: {name} has no repeats to take a mean of")


def _find_recipes(name: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the recipe of a model, or those of the models that it is the mean of."""
    average = params["models"].get("averages", {}).get(name)
    if average is None:
        return [params[section][name] for section in RECIPES if name in params[section]][:1]
    return [
        recipe
        for member in (average["first"], average["second"])
        for recipe in _find_recipes(member, params)
    ]


def _list_fields(name: str, root: Path, chooses: bool) -> list[str]:
    """Return the figures of a model in the last report that may choose; none without a report.

    Of a model that it has not, those of any that it has.
    """
    try:
        found = read_json(root / METRICS)["models"]
        models = [found[name]] if name in found else found.values()
        return sorted({key for model in models for key in model if not (chooses and "test" in key)})
    except (FileNotFoundError, DataError, ValueError, KeyError, AttributeError, TypeError):
        return []
