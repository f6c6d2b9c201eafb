"""Fit a small network with batch norms, compiled or not, in one process or several.

Run: torchrun --nproc-per-node 2 -m tests.vision.base.compiled_fit FILE compile
"""

import sys
from pathlib import Path

import torch

from tests.conftest import make_image_set
from vision.base import compiling
from vision.base.distributed import is_first, is_worker, join_processes
from vision.base.launching import end_with_launcher
from vision.models.networks import save_model
from vision.schema.baselines import SCHEMAS
from vision.training.baselines import prepare_baseline
from vision.training.loop import fit

RECIPE = {
    "architecture": "whitened-cnn",
    "widths": [4, 6, 6],
    "optimizer": "sgd",
    "learning_rate": 0.05,
    "epochs": 2,
    "batch_size": 16,
    "ema_decay": 0.5,
}


def main(path: Path, compiled: bool) -> None:
    train, val = make_image_set(16), make_image_set(4, seed=1)
    params = SCHEMAS["whitened-cnn"].model_validate(RECIPE | {"compile": compiled})
    if is_worker():
        end_with_launcher()
    compiling.BACKEND = "aot_eager"  # graphs and their gradients, without a minute of C++
    with join_processes():
        spec, build, plan = prepare_baseline(params, train)
        torch.manual_seed(0)
        result = fit(build(), spec, train, val, params, 0, plan)
        if is_first():
            save_model(path, result.last_state, spec)


if __name__ == "__main__":
    main(Path(sys.argv[1]), "compile" in sys.argv)
