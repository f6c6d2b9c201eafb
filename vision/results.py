"""What a training leaves behind.

data/models/NAME/
    best.safetensors    the weights of the epoch that validated best, with the model's spec
    last.safetensors    those of the last epoch
data/training/NAME/
    history.csv         loss and accuracy of each epoch
    summary.json        the recipe, the kept epoch and its figures
data/timings/NAME.json  seconds and hardware: the only file in which equal runs differ
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vision.files import write_json, write_rows
from vision.hardware import describe_hardware
from vision.models import ModelSpec, build_model, count_parameters, save_model
from vision.recipes import TrainParams
from vision.training import Epoch, Fit

MODELS_DIR = Path("data/models")
TRAINING_DIR = Path("data/training")
TIMINGS_DIR = Path("data/timings")


def save_training(
    name: str,
    spec: ModelSpec,
    params: TrainParams,
    result: Fit,
    seed: int,
    facts: dict[str, Any],
) -> None:
    """Write a finished training; `facts` are added to its summary."""
    models, training = MODELS_DIR / name, TRAINING_DIR / name
    best, last = result.best, result.history[-1]
    save_model(models / "best.safetensors", result.best_state, replace(spec, epoch=best.epoch))
    save_model(models / "last.safetensors", result.last_state, replace(spec, epoch=last.epoch))
    write_rows(training / "history.csv", [asdict(epoch) for epoch in result.history])
    write_json(training / "summary.json", _summarise(spec, params, result, seed) | facts)
    write_json(TIMINGS_DIR / f"{name}.json", _describe_timing(result))


def _summarise(spec: ModelSpec, params: TrainParams, result: Fit, seed: int) -> dict[str, Any]:
    return _figures(result.best) | {
        "architecture": spec.architecture,
        "best_epoch": result.best.epoch,
        "epochs": len(result.history),
        "input_px": spec.input_px,
        "last": _figures(result.history[-1]),
        "parameters": count_parameters(build_model(spec)),
        "recipe": params.model_dump(mode="json"),
        "seed": seed,
    }


def _figures(epoch: Epoch) -> dict[str, float]:
    return {key: value for key, value in asdict(epoch).items() if key != "epoch"}


def _describe_timing(result: Fit) -> dict[str, Any]:
    return describe_hardware() | {
        "images_per_second": round(result.images_per_second, 1),
        "train_seconds": round(result.seconds, 1),
    }
