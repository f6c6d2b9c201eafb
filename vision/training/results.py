"""What a training leaves behind.

data/models/NAME/
    best.safetensors    the weights of the epoch that validated best, with the model's spec
    last.safetensors    those of the last epoch
    seed-N.safetensors  the best weights of a further training, with that seed
data/training/NAME/
    history.csv         loss and accuracy of each epoch
    seed-N.csv          those of a further training
    summary.json        the recipe, the kept epoch and its figures
data/timings/NAME.json  seconds and hardware of the first training: here alone equal runs differ
"""

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vision.base.distributed import is_first
from vision.base.files import write_json, write_rows
from vision.base.hardware import describe_hardware
from vision.models.networks import ModelSpec, count_parameters, outline_model, save_model
from vision.schema.recipes import TrainParams
from vision.training.loop import Epoch, Fit

MODELS_DIR = Path("data/models")
TRAINING_DIR = Path("data/training")
TIMINGS_DIR = Path("data/timings")


def save_trainings(
    name: str,
    spec: ModelSpec,
    params: TrainParams,
    fits: Iterable[tuple[int, Fit]],
    facts: dict[str, Any],
) -> None:
    """Write what each seed gave as soon as it has: of all but the first, the best weights.

    Each machine of a training writes it for itself.

    Args:
        facts: are added to the summary of the first.
    """
    for number, (seed, result) in enumerate(fits):
        if not is_first():
            continue
        if number == 0:
            save_training(name, spec, params, result, seed, facts)
        else:
            save_repeat(name, spec, result, seed)


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
    spec = replace(spec, test_views_below=result.views_below)
    best, last = result.best, result.history[-1]
    for old in [*models.glob("seed-*.safetensors"), *training.glob("seed-*.csv")]:
        old.unlink()  # of a stage that was run by hand
    save_model(models / "best.safetensors", result.best_state, replace(spec, epoch=best.epoch))
    save_model(models / "last.safetensors", result.last_state, replace(spec, epoch=last.epoch))
    _write_history(training / "history.csv", result)
    write_json(training / "summary.json", _summarise(spec, params, result, seed) | facts)
    write_json(TIMINGS_DIR / f"{name}.json", _describe_timing(result))


def save_repeat(name: str, spec: ModelSpec, result: Fit, seed: int) -> None:
    """Write a further training of a recipe, with another seed."""
    spec = replace(spec, test_views_below=result.views_below, epoch=result.best.epoch)
    save_model(MODELS_DIR / name / f"seed-{seed}.safetensors", result.best_state, spec)
    _write_history(TRAINING_DIR / name / f"seed-{seed}.csv", result)


def _write_history(path: Path, result: Fit) -> None:
    write_rows(path, [_list_figures(epoch) for epoch in result.history])


def _summarise(spec: ModelSpec, params: TrainParams, result: Fit, seed: int) -> dict[str, Any]:
    return _figures(result.best) | {
        "architecture": spec.architecture,
        "best_epoch": result.best.epoch,
        "epochs": len(result.history),
        "input_px": spec.input_px,
        "last": _figures(result.history[-1]),
        "parameters": count_parameters(outline_model(spec)),
        "recipe": params.model_dump(mode="json"),
        "seed": seed,
    }


def _figures(epoch: Epoch) -> dict[str, float]:
    return {key: value for key, value in _list_figures(epoch).items() if key != "epoch"}


def _list_figures(epoch: Epoch) -> dict[str, float]:
    return {key: value for key, value in asdict(epoch).items() if value is not None}


def _describe_timing(result: Fit) -> dict[str, Any]:
    return describe_hardware() | {
        "epochs": len(result.history),
        "images_per_second": round(result.images_per_second, 1),
        "train_seconds": round(result.seconds, 1),
    }
