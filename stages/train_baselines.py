"""Train a hand-made network from random weights and keep its best epoch on validation.

Reads data/raw, data/split; writes data/models/NAME, data/training/NAME.
Run: python -m stages.train_baselines two-layer-fc
"""

import sys

import torch

from stages.processes import run_training
from vision.baselines import load_baseline
from vision.checkpoints import Checkpoint
from vision.data import load_split
from vision.distributed import is_first
from vision.models import build_model, count_parameters
from vision.params import load_seed
from vision.recipes import describe_model
from vision.results import save_training
from vision.training import fit


def main(name: str, checkpoint: Checkpoint | None = None) -> None:
    seed, params = load_seed(), load_baseline(name)
    train, val = load_split("train"), load_split("val")
    spec = describe_model(params.architecture, params, train, **params.get_options())
    torch.manual_seed(seed)
    model = build_model(spec)
    result = fit(model, spec, train, val, params, seed, checkpoint=checkpoint)
    facts = {
        "family": "baselines",
        "pretrained": None,
        "trainable_parameters": count_parameters(model),
    }
    if is_first():
        save_training(name, spec, params, result, seed, facts)


if __name__ == "__main__":
    sys.exit(run_training("train-baselines", main, sys.argv[1:]))
