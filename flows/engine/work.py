"""How much of a stage's work is done already: epochs in checkpoints, outs that are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.engine.settings import RECIPES, read_recipe
from vision.base.files import read_json
from vision.base.fingerprint import find_decisive
from vision.base.kept import find_place


@dataclass(frozen=True)
class Work:
    """
    Attributes:
        epochs: that a training asks for, over all its seeds; None for other stages, and where
            its outs are kept.
        left: of them, those that no checkpoint has.
        known: the outs are kept, or all epochs are: the stage will end in seconds, with the bytes
            of before.
    """

    epochs: int | None = None
    left: int | None = None
    known: bool = False


def count_work(settings: Mapping[str, Any], params: Mapping[str, Any]) -> Work:
    """Return the work of a stage whose inputs are not known yet.

    Args:
        settings: values of the keys of params.yaml that the stage reads.
    """
    if not (recipe := _find_recipe(settings, params)):
        return Work()
    total = recipe.epochs * (1 + recipe.repeats)
    return Work(total, total)


def find_work(
    name: str,
    settings: Mapping[str, Any],
    params: Mapping[str, Any],
    hashes: Mapping[str, str],
    tree: Path,
    kept: Path,
) -> Work:
    """Return the work of a stage, less what was done before.

    Args:
        name: of the stage, with the member of its matrix.
        hashes: of its deps, by path, as dvc.lock has them.
        tree: where its code is.
        kept: the project, below which results are kept.
    """
    inputs = find_inputs(hashes, tree)
    outs = find_place(name, inputs | find_decisive((), settings), kept)
    if outs and outs.is_dir():
        return Work(known=True)
    if not (whole := count_work(settings, params)).epochs:
        return whole
    done = sum(map(count_epochs, list_checkpoints(name, settings, params, inputs, kept)))
    return Work(whole.epochs, whole.epochs - done, known=done == whole.epochs)


def find_inputs(hashes: Mapping[str, str], tree: Path) -> dict[str, str]:
    """Return a hash of each dep of a stage by which it decides; see `find_work`."""
    return find_decisive(hashes, {}, hashes.__getitem__, tree)


def list_checkpoints(
    name: str,
    settings: Mapping[str, Any],
    params: Mapping[str, Any],
    inputs: dict[str, str],
    kept: Path,
) -> list[Path]:
    """Return where a training has a checkpoint for each seed, or will have; without a suffix."""
    recipe, model = _find_recipe(settings, params), name.partition("@")[2]
    if recipe is None:
        return []
    seeds = range(params["seed"], params["seed"] + 1 + recipe.repeats)
    decisive = [(seed, inputs | find_decisive((), recipe.get_decisive(seed))) for seed in seeds]
    places = [find_place(f"{model}-seed-{seed}", each, kept) for seed, each in decisive]
    return [place for place in places if place]


def _find_recipe(settings: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
    """Return the recipe among what a stage reads, or None."""
    for key in settings:
        section, _, name = key.partition(".")
        if section in RECIPES and "." not in name and "models" in params:
            return read_recipe(params, section, name)
    return None


def count_epochs(place: Path) -> int:
    """Return how many epochs a checkpoint has."""
    notes = place.with_suffix(".json")
    both = notes.exists() and place.with_suffix(".pt").exists()
    return int(read_json(notes)["epochs"]) if both else 0
