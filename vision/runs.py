"""What the stages before `plot` left behind, read once and held together."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from pydantic import model_validator

from vision.data import RAW_DIR, SPLIT_DIR
from vision.errors import DataError
from vision.files import read_json
from vision.paper import SOURCE
from vision.params import Section, check_name

TRAINING_DIR = Path("data/training")
TIMINGS_DIR = Path("data/timings")
PREDICTIONS_DIR = Path("data/predictions")
IMAGES_MARK, WEIGHTS_MARK = "†", "‡"  # beside what rests on stand-ins

T = TypeVar("T")


class ModelsParams(Section):
    baselines: list[str]
    finetune: list[str]
    evaluate: list[str]  # both lists again, in the order of the report

    @model_validator(mode="after")
    def _check_evaluate(self) -> "ModelsParams":
        trained = [check_name(name) for name in [*self.baselines, *self.finetune]]
        if not trained or len(trained) != len(set(trained)):
            raise ValueError(f"list each model once, and at least one; not {trained}")
        if sorted(trained) != sorted(self.evaluate):
            raise ValueError(f"evaluate must list {trained}, in any order, not {self.evaluate}")
        return self


@dataclass(frozen=True)
class Images:
    """The images of the data set, and how they are split."""

    manifest: dict[str, Any]
    classes: tuple[str, ...]  # each on one line
    split: dict[str, Any]

    @property
    def is_stand_in(self) -> bool:
        return self.manifest["source"] == "cifar10" and not self.manifest["official"]

    @property
    def are_the_papers(self) -> bool:
        return bool(self.manifest["source"] == SOURCE)


@dataclass(frozen=True)
class Run:
    """One trained and judged model."""

    name: str
    history: pd.DataFrame  # a row per epoch
    training: dict[str, Any]
    timing: dict[str, Any]
    metrics: dict[str, Any]  # `per_class` in the order of the classes

    @property
    def rests_on_stand_in(self) -> bool:
        weights = self.training["pretrained"] or {}
        return weights.get("weights") == "imagenet" and not weights["official"]

    @property
    def label(self) -> str:
        return (
            f"{self.name}\N{NO-BREAK SPACE}{WEIGHTS_MARK}" if self.rests_on_stand_in else self.name
        )


@dataclass(frozen=True)
class Results:
    images: Images
    runs: list[Run]

    @property
    def best(self) -> Run:
        """The first of the models with the highest test accuracy."""
        return max(self.runs, key=lambda run: float(run.metrics["accuracy"]))

    def find(self, name: str) -> Run | None:
        return next((run for run in self.runs if run.name == name), None)

    def mark(self, *runs: Run) -> str:
        """Return the marks that a figure of these models needs; of all, if none is named."""
        on_weights = any(run.rests_on_stand_in for run in runs or self.runs)
        return IMAGES_MARK * self.images.is_stand_in + WEIGHTS_MARK * on_weights


def load_results(models: ModelsParams) -> Results:
    """Read what the listed models were trained and judged on, and how they fared.

    Raises:
        DataError: a file is missing; names it, and the stage that writes it.
    """
    images = Images(
        manifest=_read(RAW_DIR / "manifest.json", "download"),
        classes=tuple(_read(RAW_DIR / "classes.json", "download")),
        split=_read(SPLIT_DIR / "summary.json", "split"),
    )
    runs = [_load_run(name, images, models) for name in models.evaluate]
    clean = tuple(one_line(name) for name in images.classes)
    return Results(Images(images.manifest, clean, images.split), runs)


def one_line(text: str) -> str:
    """Replace line breaks and unprintable characters, which names of folders may hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _load_run(name: str, images: Images, models: ModelsParams) -> Run:
    stage = "train-baselines" if name in models.baselines else "finetune-resnet"
    trained, training = f"{stage}@{name}", TRAINING_DIR / name
    metrics: dict[str, Any] = _read(PREDICTIONS_DIR / name / "metrics.json", f"evaluate@{name}")
    scores = [metrics["per_class"][each] for each in images.classes]
    return Run(
        name=name,
        history=_read(training / "history.csv", trained, pd.read_csv),
        training=_read(training / "summary.json", trained),
        timing=_read(TIMINGS_DIR / f"{name}.json", trained),
        metrics=metrics | {"per_class": scores},
    )


def _read(path: Path, stage: str, read: Callable[[Path], T] = read_json) -> T:
    try:
        return read(path)
    except FileNotFoundError:
        raise DataError(f"{path} is missing: run dvc repro {stage}") from None
