"""What benchmarks.minutes has measured: trainings, and pairs of them that decide together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.gpu_data import Stock
from benchmarks.gpu_plan import locate
from vision.base.files import read_array, read_json
from vision.schema.averages import AverageParams

RECIPES = {"whitened-cnn": "baselines", "tuned": "finetune", "paper": "finetune"}
N_SEEDS = 3  # of what is best within the time of the plain program
PLAIN = "paper"  # the recipe that the plain program has


@dataclass(frozen=True)
class Point:
    """One finished training, or two that decide together."""

    recipe: str
    epochs: tuple[int, ...]  # of each
    minutes: float  # of training, validation included
    val: float  # accuracy at the kept epoch, by all views of the recipe
    test: float

    @property
    def words(self) -> str:
        return f"{' + '.join(map(str, self.epochs))} epoch{'s' * (sum(self.epochs) > 1)}"


@dataclass(frozen=True)
class Study:
    """What is measured, and where it is kept."""

    stock: Stock
    averages: dict[str, AverageParams]  # of two of RECIPES
    folder: Path
    limit: float  # minutes that a training may take
    overrides: Mapping[str, Any]  # of params.yaml, by key

    @property
    def names(self) -> list[str]:
        return [*RECIPES, *self.averages]


def list_recipes(study: Study, name: str) -> list[str]:
    """Return the recipes behind a name: its own, or two."""
    average = study.averages.get(name)
    return [average.first, average.second] if average else [name]


def name_piece(recipe: str, epochs: int | str, seed: int | None = None) -> str:
    return f"{recipe}-{epochs}" + (f"-seed-{seed}" if seed is not None else "")


def locate_logits(study: Study, piece: str, subset: str) -> Path:
    return study.folder / f"logits/{piece}-{subset}.npy"


def read_trainings(study: Study, seed: int | None = None) -> list[Point]:
    """Return the finished trainings with a seed."""
    points = []
    for path in (study.folder / "pieces").glob("*.json"):
        found = read_json(path)["figures"]
        if "recipe" in found and path.stem == name_piece(found["recipe"], found["epochs"], seed):
            accuracies = found["accuracy"]
            figures = (found["fit_seconds"] / 60, accuracies["val"], accuracies["test"])
            points.append(Point(found["recipe"], (found["epochs"],), *figures))
    return points


def read_points(study: Study, seed: int | None = None) -> list[Point]:
    """Return the finished trainings with a seed, and pairs of them, the shortest first."""
    alone = read_trainings(study, seed)
    pairs = [
        pair
        for name, average in study.averages.items()
        for first, second in product(alone, alone)
        if (first.recipe, second.recipe) == (average.first, average.second)
        for pair in _pair(study, name, first, second, seed)
    ]
    return sorted([*alone, *pairs], key=lambda point: point.minutes)


def _pair(
    study: Study, name: str, first: Point, second: Point, seed: int | None
) -> Iterator[Point]:
    """Yield what two trainings reach together, unless that takes too long."""
    minutes = first.minutes + second.minutes
    if minutes > study.limit:
        return
    share, accuracies = study.averages[name].share, []
    for subset, data in (("val", study.stock.val), ("test", study.stock.test)):
        files = [
            locate_logits(study, name_piece(point.recipe, point.epochs[0], seed), subset)
            for point in (first, second)
        ]
        if not all(map(Path.exists, files)):
            return
        a, b = map(read_array, files)
        right = (share * a + (1 - share) * b).argmax(1) == data.get_labels()
        accuracies.append(float(right.mean()))
    yield Point(name, first.epochs + second.epochs, minutes, *accuracies)


def read_plain(study: Study) -> float | None:
    """Return the minutes that the faster of the plain programs takes, validation included."""
    path = locate(study.folder, f"plain-{PLAIN}")
    if not path.exists():
        return None
    programs = read_json(path)["figures"]["programs"]
    return float(min(program["fit_seconds"] for program in programs)) / 60


def find_best(points: list[Point], minutes: float) -> Point | None:
    """Return the training that validates best of those that end by then."""
    done = [point for point in points if point.minutes <= minutes]
    return max(done, key=lambda point: point.val, default=None)
