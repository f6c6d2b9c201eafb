"""Judge a trained model on the test images, which nothing before this stage reads.

Reads data/raw, data/split, data/models/NAME; writes data/predictions/NAME: metrics.json and the
logits of every val and test image; and for `dvc plots` data/confusions/NAME.csv.
Run: python -m stages.evaluate paper
"""

import sys
from pathlib import Path

import numpy as np

from stages.runner import run_stage
from vision.data import ImageSet, load_split
from vision.files import write_array, write_json, write_rows
from vision.inference import predict_logits, prepare_device
from vision.metrics import EvaluateParams, measure
from vision.models import load_model
from vision.params import load_section, load_seed

MODELS_DIR = Path("data/models")
PREDICTIONS_DIR = Path("data/predictions")
CONFUSIONS_DIR = Path("data/confusions")
LAST_EPOCH_FIGURES = ("accuracy", "accuracy_low", "accuracy_high", "loss")


def main(name: str) -> None:
    seed, params = load_seed(), load_section("evaluate", EvaluateParams)
    val, test = load_split("val"), load_split("test")
    models, out = MODELS_DIR / name, PREDICTIONS_DIR / name
    val_logits, _ = predict(models / "best.safetensors", val, params)
    logits, _ = predict(models / "best.safetensors", test, params)
    last_logits, last_epoch = predict(models / "last.safetensors", test, params)
    labels = test.get_labels()
    metrics = measure(logits, labels, test.classes, params, seed)
    last = measure(last_logits, labels, test.classes, params, seed)
    metrics["last_epoch"] = {key: last[key] for key in LAST_EPOCH_FIGURES} | {"epoch": last_epoch}
    write_array(out / "val_logits.npy", val_logits)
    write_array(out / "test_logits.npy", logits)
    write_json(out / "metrics.json", metrics)
    write_rows(CONFUSIONS_DIR / f"{name}.csv", name_predictions(test, logits))


def predict(path: Path, data: ImageSet, params: EvaluateParams) -> tuple[np.ndarray, int]:
    """Return the logits, (n, classes) float32, and the epoch that the model is of."""
    model, spec = load_model(path)
    model.to(prepare_device())
    return predict_logits(model, spec, data, params.batch_size, f"predict {path}"), spec.epoch


def name_predictions(data: ImageSet, logits: np.ndarray) -> list[dict[str, str]]:
    pairs = zip(data.get_labels(), logits.argmax(1), strict=True)
    return [{"actual": data.classes[a], "predicted": data.classes[p]} for a, p in pairs]


if __name__ == "__main__":
    sys.exit(run_stage("evaluate", main, sys.argv[1:]))
