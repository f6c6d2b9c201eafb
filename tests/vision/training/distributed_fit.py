"""Fit a ResNet18 for a few steps and keep what came of it, in one process or several.

In float64: a random net makes rounding grow so fast that in fp32 it would hide a wrong gradient.
Run: torchrun --nproc-per-node 2 -m tests.vision.training.distributed_fit FOLDER IMAGES_PER_CLASS
A third argument is a number of epochs, a fourth the seconds to wait after each.
"""

import sys
import time
from pathlib import Path
from typing import Any

import torch

from tests.conftest import make_image_set
from vision.base.distributed import is_first, is_worker, join_processes
from vision.base.files import write_json
from vision.base.fingerprint import KEY_DIGITS
from vision.base.launching import end_with_launcher
from vision.models.networks import build_model, save_model
from vision.schema.finetune import FinetuneParams
from vision.training.checkpoints import Checkpoint
from vision.training.finetuning import BackbonePlan
from vision.training.loop import fit
from vision.training.recipes import describe_model


class Pausing(Checkpoint):
    """A checkpoint after which there is time to end a process."""

    pause_s = 0.0

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        time.sleep(self.pause_s)


def main(folder: Path, per_class: int, epochs: int = 2, pause_s: float = 0.0) -> None:
    params = FinetuneParams(
        architecture="resnet18",
        weights="none",
        epochs=epochs,
        batch_size=8,
        optimizer="sgd",
        learning_rate=0.01,
        momentum=0.9,
        crop_padding_px=1,
        flip=True,
        label_smoothing=0.1,
        ema_decay=0.5,
        lookahead=2,
        accumulate=2,
        balance="loss",
        clip_norm=1.0,
        cutmix=1.0,
        erase=0.5,
        mixup=0.4,
        select_by="macro_f1",
    )
    train, val = (make_image_set(n, image_px=32) for n in (per_class, 2))
    spec = describe_model("resnet18", params, train)
    torch.manual_seed(0)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    if is_worker():
        end_with_launcher()
    Pausing.pause_s = pause_s
    checkpoint = Pausing(folder / f"fit-{'0' * KEY_DIGITS}.pt")
    with join_processes():
        network = build_model(spec).double()
        result = fit(network, spec, train, val, params, 0, BackbonePlan(params), checkpoint)
        if is_first():
            save_model(folder / "last.safetensors", result.last_state, spec)
            write_json(folder / "history.json", [vars(epoch) for epoch in result.history])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *map(int, sys.argv[3:]))
