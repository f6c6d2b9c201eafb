"""What the stages before `plot` left behind, read once and held together."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd

import vision.data.shards as shards
from vision.base.errors import DataError
from vision.base.files import read_array, read_json
from vision.data.dataset import FILES, RAW_DIR, SPLIT_DIR
from vision.data.files_table import read_columns
from vision.evaluation.calibration import (
    Calibration,
    Temperature,
    fit_temperature,
    measure_calibration,
)
from vision.evaluation.gallery import Mistake, find_mistakes
from vision.evaluation.intervals import Mean, bound_mean, bound_share
from vision.evaluation.label_issues import WEAK, find_label_issues
from vision.evaluation.probabilities import Scores, check_finite, score
from vision.evaluation.significance import Pair, compare_pairs
from vision.evaluation.slices import Slice, find_slices, measure_pixels, measure_sides
from vision.report.paper import SOURCE
from vision.schema.report import ModelsParams

TRAINING_DIR = Path("data/training")
TIMINGS_DIR = Path("data/timings")
PREDICTIONS_DIR = Path("data/predictions")
COSTS_DIR = Path("data/costs")
ROBUSTNESS_DIR = Path("data/robustness")
EXPLANATIONS_DIR = Path("data/explanations")
DUPLICATES = Path("data/duplicates.json")
KNOWN = ("file", "label", "subset", "md5")  # columns of the table of files that say nothing more
IMAGES_AT_ONCE = 256
IMAGES_MARK, WEIGHTS_MARK = "†", "‡"  # beside what rests on stand-ins
FREE_MARK = "§"  # beside a model whose training cannot be repeated bit for bit

T = TypeVar("T")


@dataclass(frozen=True)
class Images:
    """The images of the data set, and how they are split."""

    manifest: dict[str, Any]
    classes: tuple[str, ...]  # each on one line
    split: dict[str, Any]
    class_counts: dict[str, list[int]]  # images of each class in train, val and test
    val_labels: np.ndarray  # (n,) int64, in the order of the predictions
    test_labels: np.ndarray
    all_pixels: np.ndarray | shards.Images  # (N, P, P, 3) uint8, of the whole data set, on disk
    all_labels: np.ndarray  # (N,) int64
    test_rows: np.ndarray  # (n,) which of them are the test images
    val_rows: np.ndarray
    names: Sequence[str]  # (N,) of their files in the source
    test_facts: dict[str, list[str]]  # what else the table of files says of the test images

    @property
    def judged_rows(self) -> np.ndarray:
        """Which images no model was trained on: val, then test."""
        return np.concatenate([self.val_rows, self.test_rows])

    def read_test(self, position: int) -> np.ndarray:
        """Return a test image: (P, P, 3) uint8."""
        pixels: np.ndarray = self.all_pixels[self.test_rows[position]]
        return pixels

    @property
    def is_stand_in(self) -> bool:
        return self.has_official and not self.manifest["official"]

    @property
    def has_official(self) -> bool:
        """Whether there are official files, with checksums, that these could be."""
        return bool(self.manifest["source"] == "cifar10")

    @property
    def are_the_papers(self) -> bool:
        return bool(self.manifest["source"] == SOURCE)


@dataclass(frozen=True)
class Run:
    """One model, trained or the mean of two that are, and how it was judged."""

    name: str
    history: pd.DataFrame  # a row per epoch; of a mean, none
    training: dict[str, Any]
    timing: dict[str, Any]
    metrics: dict[str, Any]  # `per_class` in the order of the classes
    val_logits: np.ndarray  # (n, classes) float32, of the kept epoch
    test_logits: np.ndarray
    cost: dict[str, Any]
    robustness: dict[str, Any]
    explained: dict[str, Any]  # the layer, and the test images that were looked into or mapped
    maps: np.ndarray  # (n, h, w) float32 in 0..1: of the right ones, then of the wrong ones
    places: np.ndarray  # (n, 2) float32 in 0..1: of the images of the map
    temperature: Temperature | None = None  # None in results of before it was kept
    trainings_of: tuple[str, ...] = ()  # names of the trained models that a mean is of, each once

    @property
    def members(self) -> list[str]:
        """Names of the models that it is the mean of; none of one that was trained."""
        return list(self.training.get("members", []))

    @property
    def rests_on_stand_in(self) -> bool:
        weights = self.training["pretrained"] or {}
        return weights.get("weights") == "imagenet" and not weights["official"]

    @property
    def is_deterministic(self) -> bool:
        """Whether the recipe asks for kernels that give the same each time."""
        return bool(self.training.get("recipe", {}).get("deterministic", True))

    @property
    def trainings(self) -> list[dict[str, float]]:
        """Seed, val and test accuracy of each training of the recipe: first the one judged."""
        first = {
            "seed": self.training["seed"],
            "val_accuracy": self.metrics["val_accuracy"],
            "test_accuracy": self.metrics["accuracy"],
        }
        return [first, *self.metrics.get("repeats", [])]

    def average(self, subset: str) -> Mean | None:
        """Return the mean accuracy of the trainings on val or test, if there are several."""
        if not self.metrics.get("repeats"):
            return None
        accuracies = [each[f"{subset}_accuracy"] for each in self.trainings]
        n = len(self.val_logits if subset == "val" else self.test_logits)
        return bound_mean(accuracies, n, self.metrics["confidence"])

    @property
    def label(self) -> str:
        marks = WEIGHTS_MARK * self.rests_on_stand_in + FREE_MARK * (not self.is_deterministic)
        return f"{self.name}\N{NO-BREAK SPACE}{marks}" if marks else self.name


class Mapped(NamedTuple):
    """The test images that are laid out on the map of the best model."""

    positions: np.ndarray  # (n,) among the test images
    places: np.ndarray  # (n, 2) float32 in 0..1
    labels: np.ndarray  # (n,) int64
    right: np.ndarray  # (n,) bool: whether the model is


@dataclass(frozen=True)
class Results:
    images: Images
    runs: list[Run]
    duplicates: dict[str, Any]  # test images that are in the training images too

    @property
    def trained(self) -> list[Run]:
        """The models that are not the mean of others."""
        return [run for run in self.runs if not run.members]

    @property
    def best(self) -> Run:
        """The model that validation chooses, the first of equal ones; the test has no say."""
        return self.rank()[0]

    def rank(self) -> list[Run]:
        """Return the models by validation accuracy, the highest first."""
        return sorted(self.runs, key=lambda run: -run.metrics["val_accuracy"])

    @cached_property
    def pairs(self) -> list[Pair]:
        """Every two models, compared on the test images."""
        labels = self.images.test_labels
        return compare_pairs({run.name: run.test_logits.argmax(1) == labels for run in self.runs})

    @cached_property
    def temperatures(self) -> dict[str, Temperature]:
        """What each model's logits are to be divided by; validation alone chooses it."""
        labels = self.images.val_labels
        return {
            run.name: run.temperature or fit_temperature(run.val_logits, labels)
            for run in self.runs
        }

    def find_temperature(self, run: Run) -> float:
        return self.temperatures[run.name].temperature

    @cached_property
    def _scores(self) -> dict[tuple[str, str, float], Scores]:
        return {}

    def score(self, run: Run, subset: str = "test", temperature: float | None = None) -> Scores:
        """Return what a model says of each val or test image, its confidence calibrated.

        Args:
            temperature: another than the model's; 1 leaves the confidence as trained.
        """
        by = self.find_temperature(run) if temperature is None else temperature
        if (key := (run.name, subset, by)) not in self._scores:
            logits, labels = (
                (run.test_logits, self.images.test_labels)
                if subset == "test"
                else (run.val_logits, self.images.val_labels)
            )
            self._scores[key] = score(logits, labels, by)
        return self._scores[key]

    @cached_property
    def _calibrations(self) -> dict[tuple[str, float], Calibration]:
        return {}

    def calibrate(self, run: Run, temperature: float = 1.0) -> Calibration:
        """Return how a model's confidence fits the test images."""
        if (key := (run.name, temperature)) not in self._calibrations:
            found = measure_calibration(self.score(run, "test", temperature))
            self._calibrations[key] = found
        return self._calibrations[key]

    def find_mistakes(self, run: Run, count: int) -> list[Mistake]:
        return find_mistakes(self.score(run), self.images.test_labels, count)

    @property
    def doubter_accuracy(self) -> float:
        """The accuracy, on val and test images, of the model that doubts labels."""
        right = [self.score(self.best, subset).right for subset in ("val", "test")]
        return float(np.concatenate(right).mean())

    @property
    def is_too_weak(self) -> bool:
        return self.doubter_accuracy < WEAK

    @cached_property
    def label_issues(self) -> list[Mistake]:
        """Images of `judged_rows` whose label may be wrong, as the best model has it.

        None where it is too weak to tell.
        """
        if self.is_too_weak:
            return []
        temperature = self.find_temperature(self.best)
        logits = np.concatenate([self.best.val_logits, self.best.test_logits])
        labels = np.concatenate([self.images.val_labels, self.images.test_labels])
        return find_label_issues(logits, labels, temperature)

    def judge_without_duplicates(self, run: Run) -> Mean | None:
        """Return a model's accuracy on the test images that are not found in training, if any."""
        right = run.test_logits.argmax(1) == self.images.test_labels
        right = np.delete(right, [pair["test"] for pair in self.duplicates["pairs"]])
        if not len(right):
            return None
        bounds = bound_share(int(right.sum()), len(right), run.metrics["confidence"])
        return Mean(float(right.mean()), *bounds)

    @property
    def mapped(self) -> Mapped:
        positions = np.array(self.best.explained["mapped"])
        labels, right = self.images.test_labels[positions], self.score(self.best).right[positions]
        return Mapped(positions, self.best.places, labels, right)

    @cached_property
    def slices(self) -> list[Slice]:
        """The best model's accuracy on each slice of the test images, the lowest first."""
        images, best = self.images, self.best
        facts = dict(images.test_facts)
        sides = measure_sides(facts.pop("width", []), facts.pop("height", []))
        attributes = {
            "class": np.array(images.classes)[images.test_labels],
            **measure_pixels(self._read_batches()),
            **sides,
        }
        for name, values in facts.items():
            title = f"{one_line(name)} (table)" if name in attributes else one_line(name)
            attributes[title] = np.array([one_line(value) for value in values])
        return find_slices(attributes, self.score(best).right, best.metrics["confidence"])

    def _read_batches(self) -> Iterator[np.ndarray]:
        rows = self.images.test_rows
        for start in range(0, len(rows), IMAGES_AT_ONCE):
            yield np.asarray(self.images.all_pixels[rows[start : start + IMAGES_AT_ONCE]])

    def describe(self, run: Run) -> Callable[[int], str]:
        """Return what says of a test image its file, its class, and what a model takes it for."""
        scores = self.score(run)
        images, classes = self.images, self.images.classes

        def write(position: int) -> str:
            true, guess = classes[images.test_labels[position]], classes[scores.predicted[position]]
            sure = f"{100 * scores.confidence[position]:.1f} % sure"
            name = images.names[int(images.test_rows[position])]
            return f"{name}: true {true}, predicted {guess}, {sure}"

        return write

    def find(self, name: str) -> Run | None:
        return next((run for run in self.runs if run.name == name), None)

    def list_trained(self, run: Run) -> list[Run]:
        """Return the trained models that one is the mean of, each once; or itself."""
        return [each for name in run.trainings_of if (each := self.find(name))] or [run]

    def mark(self, *runs: Run) -> str:
        """Return the marks that a figure of these models needs; of all, if none is named."""
        on_weights = any(run.rests_on_stand_in for run in runs or self.runs)
        return IMAGES_MARK * self.images.is_stand_in + WEIGHTS_MARK * on_weights


def load_results(models: ModelsParams) -> Results:
    """Read what the listed models were trained and judged on, and how they fared.

    Raises:
        DataError: a file is missing; names it, and the stage that writes it.
    """
    names: tuple[str, ...] = tuple(_read(RAW_DIR / "classes.json", "download"))
    labels = _read(RAW_DIR / "labels.npy", "download", read_array)
    val_rows, test_rows = (
        _read(SPLIT_DIR / f"{subset}.npy", "split", read_array) for subset in ("val", "test")
    )
    split: dict[str, Any] = _read(SPLIT_DIR / "summary.json", "split")
    images = Images(
        manifest=_read(RAW_DIR / "manifest.json", "download"),
        classes=tuple(one_line(name) for name in names),
        split=split,
        class_counts={
            subset: [split[subset]["per_class"][name] for name in names]
            for subset in ("train", "val", "test")
        },
        val_labels=labels[val_rows],
        test_labels=labels[test_rows],
        all_pixels=_read(RAW_DIR / "images", "download", shards.open_images),
        all_labels=labels,
        test_rows=test_rows,
        val_rows=val_rows,
        names=_read(RAW_DIR / FILES, "download", lambda path: read_columns(path, "file")[0]),
        test_facts=_read(RAW_DIR / FILES, "download", lambda path: _read_facts(path, test_rows)),
    )
    runs = [_load_run(name, names, models) for name in models.evaluate]
    return Results(images, runs, _read(DUPLICATES, "find-duplicates"))


def _read_facts(path: Path, rows: np.ndarray) -> dict[str, list[str]]:
    """Return the columns of the table of files that describe images, at these rows."""
    with path.open(newline="", encoding="utf-8") as file:
        header = next(csv.reader(file), [])
    names = [name for name in header if name not in KNOWN]
    columns = read_columns(path, *names) if names else []
    return {
        name: [column[row] for row in rows.tolist()]
        for name, column in zip(names, columns, strict=True)
    }


def one_line(text: str) -> str:
    """Replace line breaks and unprintable characters, which names of folders may hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _load_run(name: str, classes: tuple[str, ...], models: ModelsParams) -> Run:
    trained, training = f"{_find_stage(name, models)}@{name}", TRAINING_DIR / name
    judged, predictions = f"evaluate@{name}", PREDICTIONS_DIR / name
    metrics: dict[str, Any] = _read(predictions / "metrics.json", judged)
    scores = [metrics["per_class"][each] for each in classes]
    logits = {
        subset: _read(predictions / f"{subset}_logits.npy", judged, read_array)
        for subset in ("val", "test")
    }
    for subset, values in logits.items():
        check_finite(values, f"{name}, {subset}")
    parts = models.list_trained(name)
    is_mean = name in models.averages
    return Run(
        name=name,
        trainings_of=tuple(parts) if is_mean else (),
        history=pd.DataFrame()
        if is_mean
        else _read(training / "history.csv", trained, pd.read_csv),
        training=_read(training / "summary.json", trained),
        timing=_add_up([_read_timing(each, models) for each in parts]),
        metrics=metrics | {"per_class": scores},
        val_logits=logits["val"],
        test_logits=logits["test"],
        cost=_read(COSTS_DIR / f"{name}.json", judged),
        robustness=_read(ROBUSTNESS_DIR / f"{name}.json", f"robustness@{name}"),
        explained=_read(EXPLANATIONS_DIR / name / "images.json", f"explain@{name}"),
        maps=_read(EXPLANATIONS_DIR / name / "maps.npy", f"explain@{name}", read_array),
        places=_read(EXPLANATIONS_DIR / name / "places.npy", f"explain@{name}", read_array),
        temperature=_read_temperature(predictions / "calibration.json"),
    )


def _read_timing(name: str, models: ModelsParams) -> dict[str, Any]:
    """Return when and where a model was trained."""
    timing: dict[str, Any] = _read(
        TIMINGS_DIR / f"{name}.json", f"{_find_stage(name, models)}@{name}"
    )
    return timing


def _add_up(timings: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one timing as it is; of several, which may be of several machines, the seconds."""
    if len(timings) == 1:
        return timings[0]
    return {"train_seconds": sum(timing["train_seconds"] for timing in timings)}


def _find_stage(name: str, models: ModelsParams) -> str:
    if name in models.averages:
        return "average"
    return "train-baselines" if name in models.baselines else "finetune-resnet"


def _read_temperature(path: Path) -> Temperature | None:
    if not path.exists():  # `evaluate` did not always write it
        return None
    found = read_json(path)
    return Temperature(found["temperature"], found["n_val"], found["n_wrong"])


def _read(path: Path, stage: str, read: Callable[[Path], T] = read_json) -> T:
    try:
        return read(path)
    except FileNotFoundError:
        raise DataError(f"{path} is missing: run dvc repro {stage}") from None
