"""Evaluate a trained model on test images that are corrupted in known ways and degrees.

Reads data/raw, data/split, data/models/NAME; writes data/robustness/NAME.json.
Run: python -m stages robustness paper
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vision.base.files import write_json
from vision.base.progress import track
from vision.base.sections import load_section, load_seed
from vision.data.dataset import ImageSet, load_split
from vision.data.subsets import take_evenly
from vision.evaluation.corruptions import CORRUPTIONS, SEVERITIES, find_degrees, start_corruption
from vision.models.batches import split_batches
from vision.models.inference import predict_batches, predict_logits, prepare_device
from vision.models.networks import load_model
from vision.schema.robustness import RobustnessParams

MODELS_DIR = Path("data/models")
ROBUSTNESS_DIR = Path("data/robustness")


def main(name: str) -> None:
    seed, params = load_seed(), load_section("robustness", RobustnessParams)
    model, spec = load_model(MODELS_DIR / name / "best.safetensors")
    model.to(prepare_device()).to(memory_format=torch.channels_last)
    clean = take_evenly(load_split("test"), params.images, seed)

    cases = [(kind, severity) for kind in CORRUPTIONS for severity in SEVERITIES]
    accuracies: dict[str, list[float]] = {kind: [] for kind in CORRUPTIONS}
    for kind, severity in track(cases, "corruptions", total=len(cases)):
        corrupt = start_corruption(kind, severity, seed)
        logits = predict_batches(model, spec, read_corrupted(clean, params.batch_size, corrupt))
        accuracies[kind].append(measure_accuracy(logits, clean))
    originals = predict_logits(model, spec, clean, params.batch_size, "")
    result = {
        "n": len(clean),
        "clean": measure_accuracy(originals, clean),
        "accuracies": accuracies,
        "degrees": {kind: find_degrees(kind, clean.image_px) for kind in CORRUPTIONS},
    }
    write_json(ROBUSTNESS_DIR / f"{name}.json", result)


def read_corrupted(
    data: ImageSet, batch_size: int, corrupt: Callable[[np.ndarray], np.ndarray]
) -> Iterator[Tensor]:
    """Yield the images batch by batch, each corrupted when it is asked for: (B, P, P, 3) uint8."""
    for positions in split_batches(torch.arange(len(data)), batch_size):
        images = np.asarray(data.images[data.indices[positions.numpy()]])
        yield torch.from_numpy(corrupt(images))


def measure_accuracy(logits: np.ndarray, data: ImageSet) -> float:
    return float((logits.argmax(1) == data.get_labels()).mean())
