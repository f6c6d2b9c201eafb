"""What each recipe reaches in a given number of minutes on this machine, by training it.

Reads params.yaml, data/raw, data/split and data/pretrained. Each recipe is trained for its own
epochs and for 1, 2, 4, 8 and so on, its schedule stretched over them, until a training would take
too long; where its rate is constant, a longer training goes on from a shorter one. What two
of them reach together costs no training: see models.averages. What is best within the time that a
plain program takes for the paper's recipe is trained with further seeds.
Writes, into a folder:
    pieces/RECIPE-EPOCHS.json           one finished training, with the first seed
    pieces/RECIPE-EPOCHS-seed-N.json    with another
    pieces/plain-paper.json             what the plain program takes
    logits/                             of val and test, of each training
    README.md, minutes.png              what is finished so far
One that is not finished has its checkpoint in data/checkpoints, from which the next call goes on.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_data import Recipe, Stock, digest_code
from benchmarks.gpu_pack import read_commit
from benchmarks.gpu_pieces import Left, OutOfTimeError, time_plain, train
from benchmarks.gpu_plan import Budget, Piece, describe_conditions, run_pieces
from benchmarks.minutes_page import write_page
from benchmarks.minutes_points import (
    N_SEEDS,
    PLAIN,
    RECIPES,
    Point,
    Study,
    find_best,
    list_recipes,
    locate_logits,
    name_piece,
    read_plain,
    read_points,
    read_trainings,
)
from flows.engine.overrides import apply_overrides
from vision.base.errors import DataError, ParamsError
from vision.base.files import write_array
from vision.base.params import get_value, read_params
from vision.base.sections import check_section, load_section, load_seed
from vision.data.dataset import load_manifest, load_split
from vision.models.pretrained import load_pretrained, load_pretrained_manifest
from vision.schema.averages import AverageParams
from vision.schema.baselines import check_baseline
from vision.schema.finetune import FinetuneParams
from vision.schema.report import ModelsParams
from vision.training.checkpoints import Checkpoint, open_checkpoint

START = "tuned"  # whose weights paper starts from as well
MOST_EPOCHS = 128
POWERS = tuple(2**power for power in range(MOST_EPOCHS.bit_length()))


def load_stock(overrides: Mapping[str, Any] | None = None) -> Stock:
    """Open what the stages of this project have made.

    Args:
        overrides: of params.yaml, as parse_overrides gives them.

    Raises:
        DataError: they have not.
        ParamsError: a recipe cannot be so, or the recipes start from different weights; or what is
            overridden is no key of a recipe that is measured.
    """
    params = read_params()
    check_overrides(overrides or {})
    apply_overrides(params, overrides or {})
    try:
        return _load_stock(params)
    except FileNotFoundError as error:
        way_out = f"dvc repro split download-weights@{START} makes it"
        raise DataError(f"{error.filename} is missing: {way_out}") from None


def check_overrides(overrides: Iterable[str]) -> None:
    """Raise ParamsError unless all are keys of recipes that are measured here."""
    places = [f"{section}.{name}" for name, section in RECIPES.items()]
    for key in overrides:
        if not any(key.lstrip("+~").startswith(f"{place}.") for place in places):
            raise ParamsError(f"-S {key}: a study changes keys of {', '.join(places)} alone")


def _load_stock(params: dict[str, Any]) -> Stock:
    recipes = {name: _check_recipe(name, params) for name in RECIPES}
    finetuned = [each for each in recipes.values() if isinstance(each, FinetuneParams)]
    if len({(each.architecture, each.weights) for each in finetuned}) > 1:
        raise ParamsError("finetune.tuned and finetune.paper start from different weights")
    facts = {"images": load_manifest(), "weights": load_pretrained_manifest(START)}
    train_set, val, test = (load_split(name) for name in ("train", "val", "test"))
    weights = load_pretrained(START)
    return Stock(train_set, val, test, weights, recipes, facts | {"code": digest_code()})


def _check_recipe(name: str, params: dict[str, Any]) -> Recipe:
    key = f"{RECIPES[name]}.{name}"
    values = get_value(params, key)
    if RECIPES[name] == "baselines":
        return check_baseline(name, values)
    return check_section(key, values, FinetuneParams)


def measure_minutes(
    folder: Path,
    limit: float,
    budget: Budget,
    overrides: Mapping[str, Any] | None = None,
    lengths: Collection[int] = POWERS,
) -> None:
    """Train what is missing, and write the page anew after each training.

    Args:
        limit: minutes that a training may take.
        budget: of this call.
        overrides: of params.yaml, as parse_overrides gives them.
        lengths: in epochs, of the trainings; each recipe's own is added.
    """
    study = Study(load_stock(overrides), load_averages(), folder, limit, overrides or {})
    conditions = describe_conditions(study.stock)
    facts = conditions | {"commit": read_commit()}
    missing = ["nothing was begun"]
    for missing in run_pieces(list_pieces(study, lengths), folder, conditions, budget):
        write_page(study, facts, missing)
    if any(": not begun" in line or " left" in line for line in missing):
        return  # what is missing may be better
    minutes = read_plain(study)
    if minutes is not None and (chosen := find_best(read_points(study), minutes)):
        for later in run_pieces(list_seeds(study, chosen), folder, conditions, budget):
            write_page(study, facts, [*missing, *later])


def load_averages() -> dict[str, AverageParams]:
    """Return the averages of params.yaml that are of two recipes measured here."""
    averages = load_section("models", ModelsParams).list_averages()
    return {name: each for name, each in averages if {each.first, each.second} <= {*RECIPES}}


def list_pieces(study: Study, lengths: Collection[int]) -> list[Piece]:
    """Return what the plain program takes, and all trainings, the short ones first."""
    plain = f"plain-{PLAIN}"
    pieces = [Piece(plain, plain, 0.0, lambda _: time_plain(PLAIN, study.stock))]
    own = {name: {*lengths, study.stock.recipes[name].epochs} for name in RECIPES}
    for epochs in sorted(set().union(*own.values())):
        pieces += [_plan(study, name, epochs) for name in RECIPES if epochs in own[name]]
    return pieces


def list_seeds(study: Study, chosen: Point) -> list[Piece]:
    """Return the trainings of what was chosen with further seeds."""
    first = load_seed()
    seeds = range(first + 1, first + N_SEEDS)
    recipes = list(zip(list_recipes(study, chosen.recipe), chosen.epochs, strict=True))
    return [_plan(study, name, epochs, seed) for seed in seeds for name, epochs in recipes]


def _plan(study: Study, recipe: str, epochs: int, seed: int | None = None) -> Piece:
    name = name_piece(recipe, epochs, seed)
    like = name_piece(recipe, epochs)
    return Piece(name, like, 0.0, partial(_train, study, recipe, epochs, seed, name))


def _train(
    study: Study, recipe: str, epochs: int, seed: int | None, name: str, left: Left
) -> dict[str, Any]:
    """Train, unless that takes too long by what fewer epochs took."""
    shorter = [point for point in read_trainings(study) if point.recipe == recipe]
    expected = max((point.minutes / point.epochs[0] for point in shorter), default=0.0) * epochs
    if expected > study.limit:
        raise OutOfTimeError(f"would take {expected:.0f} minutes, more than {study.limit:g}")
    if expected > left() / 60:
        raise OutOfTimeError(f"would take {expected:.0f} minutes, {left() / 60:.0f} were left")
    stock = study.stock
    changed = stock.recipes[recipe].model_copy(update={"epochs": epochs, "px_by_epoch": None})
    checkpoint = _open_checkpoint(stock, recipe, changed, name, seed)
    own = replace(stock, recipes={recipe: changed})

    def keep(subset: str, logits: np.ndarray) -> None:
        write_array(locate_logits(study, name, subset), logits.astype(np.float32))

    number = load_seed() if seed is None else seed
    return train(recipe, number, own, lambda _: checkpoint, keep) | {"epochs": epochs}


def _open_checkpoint(
    stock: Stock, recipe: str, params: Recipe, piece: str, seed: int | None
) -> Checkpoint:
    """Return where a training goes on: that of fewer epochs, where their number changes no step."""
    conditions, values = describe_conditions(stock), params.model_dump(mode="json")
    if params.schedule == "constant" and not params.lookahead:
        name = name_piece(recipe, "by-epochs", seed)
        shared = _open(name, conditions, values | {"epochs": None})
        saved = shared.load()
        if saved is None or len(saved["history"]) <= params.epochs:
            return shared
    return _open(piece, conditions, values)


def _open(name: str, conditions: dict[str, Any], values: dict[str, Any]) -> Checkpoint:
    facts = {"conditions": conditions, "params": values}
    texts = {key: json.dumps(value, sort_keys=True) for key, value in facts.items()}
    return open_checkpoint(f"minutes-{name}", texts)
