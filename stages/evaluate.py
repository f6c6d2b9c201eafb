"""Evaluate a trained model on the test images, which nothing before this stage reads.

Reads data/raw, data/split, data/models/NAME; writes data/predictions/NAME: metrics.json, with the
accuracies of further seeds, the logits of every val and test image, and calibration.json, the
temperature that makes the model's confidence fit its accuracy on validation; for `dvc plots`
data/confusions/NAME.csv; and, with seconds that differ between equal runs, data/costs/NAME.json.
Run: python -m stages evaluate paper
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vision.base.files import sha256_of, write_array, write_json, write_rows
from vision.base.sections import load_section
from vision.data.dataset import ImageSet, load_split
from vision.evaluation.calibration import Temperature, fit_temperature
from vision.evaluation.cost import measure_cost
from vision.evaluation.metrics import measure
from vision.evaluation.probabilities import check_finite
from vision.models.inference import Classifier, predict_logits, prepare_device
from vision.models.networks import ModelSpec, change_spec, load_model
from vision.schema.evaluate import EvaluateParams

MODELS_DIR = Path("data/models")
PREDICTIONS_DIR = Path("data/predictions")
CONFUSIONS_DIR = Path("data/confusions")
COSTS_DIR = Path("data/costs")
LAST_EPOCH_FIGURES = ("accuracy", "accuracy_low", "accuracy_high", "loss")


def main(name: str) -> None:
    params = load_section("evaluate", EvaluateParams)
    val, test = load_split("val"), load_split("test")
    best, spec = load_model(MODELS_DIR / name / "best.safetensors")
    last_model, last_spec = load_model(MODELS_DIR / name / "last.safetensors")
    val_logits = last_val_logits = predict(best, spec, val, params)
    logits = last_logits = predict(best, spec, test, params)
    if last_spec != spec:  # it is not the same epoch
        last_val_logits = predict(last_model, last_spec, val, params)
        last_logits = predict(last_model, last_spec, test, params)
    labels, out = test.get_labels(), PREDICTIONS_DIR / name
    metrics = measure(logits, labels, test.classes, params)
    last = measure(last_logits, labels, test.classes, params)
    metrics["val_accuracy"] = measure_accuracy(val_logits, val)
    metrics["last_epoch"] = {key: last[key] for key in LAST_EPOCH_FIGURES} | {
        "epoch": last_spec.epoch,
        "val_accuracy": measure_accuracy(last_val_logits, val),
    }
    if repeats := judge_repeats(name, val, test, params):
        metrics["repeats"] = repeats
    write_array(out / "val_logits.npy", val_logits)
    write_array(out / "test_logits.npy", logits)
    write_json(out / "metrics.json", metrics)
    write_json(
        out / "calibration.json",
        describe_temperature(name, fit_temperature(val_logits, val.get_labels())),
    )
    write_rows(CONFUSIONS_DIR / f"{name}.csv", name_predictions(test, logits))
    most = change_spec(spec, test_views_below=0.0)  # views for all images, whichever are asked for
    cost = measure_cost(MODELS_DIR / name / "best.safetensors", Classifier(best, most).eval())
    write_json(COSTS_DIR / f"{name}.json", cost)


def predict(
    model: nn.Module, spec: ModelSpec, data: ImageSet, params: EvaluateParams
) -> np.ndarray:
    """Return the logits: (n, classes) float32.

    Raises:
        PipelineError: some are not finite.
    """
    model.to(prepare_device()).to(memory_format=torch.channels_last)
    epoch = f"epoch {spec.epoch}" if spec.epoch else "the mean"
    logits = predict_logits(model, spec, data, params.batch_size, f"predict {epoch}")
    check_finite(logits, f"{spec.architecture}, {epoch}")
    return logits


def describe_temperature(name: str, found: Temperature) -> dict[str, Any]:
    """Return what the temperature is, and of which file, as `predict` and `export` look it up."""
    digest = sha256_of(MODELS_DIR / name / "best.safetensors")
    return asdict(found) | {"is_fitted": found.is_fitted, "model_sha256": digest}


def measure_accuracy(logits: np.ndarray, data: ImageSet) -> float:
    return float((logits.argmax(1) == data.get_labels()).mean())


def judge_repeats(
    name: str, val: ImageSet, test: ImageSet, params: EvaluateParams
) -> list[dict[str, float]]:
    """Return the accuracies of the recipe's further trainings, a row for each seed."""
    rows = []
    for path in (MODELS_DIR / name).glob("seed-*.safetensors"):
        model, spec = load_model(path)
        row: dict[str, float] = {"seed": int(path.stem.removeprefix("seed-"))}
        for subset, data in (("val", val), ("test", test)):
            logits = predict(model, spec, data, params)
            row[f"{subset}_accuracy"] = measure_accuracy(logits, data)
        rows.append(row)
    return sorted(rows, key=lambda row: row["seed"])


def name_predictions(data: ImageSet, logits: np.ndarray) -> list[dict[str, str]]:
    pairs = zip(data.get_labels(), logits.argmax(1), strict=True)
    return [{"actual": data.classes[a], "predicted": data.classes[p]} for a, p in pairs]
