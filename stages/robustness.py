"""Judge a trained model on test images that are spoilt in known ways and degrees.

Reads data/raw, data/split, data/models/NAME; writes data/robustness/NAME.json.
Run: python -m stages.robustness paper
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from stages.runner import run_stage
from vision.base.files import write_json
from vision.base.params import load_section, load_seed
from vision.base.progress import track
from vision.data.dataset import ImageSet, load_split
from vision.data.subsets import take_evenly
from vision.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from vision.models.inference import predict_logits, prepare_device
from vision.models.networks import load_model
from vision.schema.robustness import RobustnessParams

MODELS_DIR = Path("data/models")
ROBUSTNESS_DIR = Path("data/robustness")


def main(name: str) -> None:
    seed, params = load_seed(), load_section("robustness", RobustnessParams)
    model, spec = load_model(MODELS_DIR / name / "best.safetensors")
    model.to(prepare_device()).to(memory_format=torch.channels_last)
    clean = take_evenly(load_split("test"), params.images, seed)

    def judge(data: ImageSet) -> float:
        logits = predict_logits(model, spec, data, params.batch_size, "")
        return float((logits.argmax(1) == data.get_labels()).mean())

    originals = np.asarray(clean.images[clean.indices])
    cases = [(kind, severity) for kind in CORRUPTIONS for severity in SEVERITIES]
    accuracies: dict[str, list[float]] = {kind: [] for kind in CORRUPTIONS}
    for kind, severity in track(cases, "corruptions", total=len(cases)):
        spoilt = corrupt(originals, kind, severity, seed)
        data = replace(
            clean, images=spoilt, labels=clean.get_labels(), indices=np.arange(len(clean))
        )
        accuracies[kind].append(judge(data))
    result = {"n": len(clean), "clean": judge(clean), "accuracies": accuracies}
    write_json(ROBUSTNESS_DIR / f"{name}.json", result)


if __name__ == "__main__":
    sys.exit(run_stage("robustness", main, sys.argv[1:], keeps=True))
