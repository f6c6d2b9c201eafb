"""Fit a ResNet18 for one step and keep what came of it, in one process or several.

One step, as rounding grows fast in a random net: after ten, weights that began 1e-7 apart part.
Run: torchrun --nproc-per-node 2 -m tests.vision.distributed_fit FOLDER IMAGES_PER_CLASS
"""

import sys
from pathlib import Path

import torch

from tests.conftest import make_image_set
from vision.distributed import is_first, join_processes
from vision.files import write_json
from vision.finetuning import FinetuneParams, ResNetPlan
from vision.models import build_model, save_model
from vision.recipes import describe_model
from vision.training import fit


def main(folder: Path, per_class: int) -> None:
    params = FinetuneParams(
        weights="none",
        epochs=1,
        batch_size=1000,
        optimizer="sgd",
        learning_rate=0.1,
        momentum=0.9,
        crop_padding_px=1,
        flip=True,
        label_smoothing=0.1,
        ema_decay=0.5,
    )
    train, val = (make_image_set(n, image_px=32) for n in (per_class, 2))
    spec = describe_model("resnet18", params, train)
    torch.manual_seed(0)
    with join_processes():
        result = fit(build_model(spec), spec, train, val, params, 0, ResNetPlan(params))
        if is_first():
            save_model(folder / "last.safetensors", result.last_state, spec)
            write_json(folder / "history.json", [vars(epoch) for epoch in result.history])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
