"""Fine-tune ResNet18 and keep its best epoch on validation.

Reads data/raw, data/split, data/pretrained/NAME; writes data/models/NAME, data/training/NAME.
Run: python -m stages.finetune_resnet paper
"""

import sys

import torch

from stages.processes import run_training
from vision.checkpoints import Checkpoint
from vision.data import load_split
from vision.distributed import is_first
from vision.finetuning import FinetuneParams, ResNetPlan, count_trainable
from vision.models import build_model, load_backbone
from vision.params import load_section, load_seed
from vision.pretrained import IMAGENET_CHANNELS, load_pretrained, load_pretrained_manifest
from vision.recipes import describe_model
from vision.results import save_training
from vision.training import fit


def main(name: str, checkpoint: Checkpoint | None = None) -> None:
    seed, params = load_seed(), load_section(f"finetune.{name}", FinetuneParams)
    train, val = load_split("train"), load_split("val")
    weights = load_pretrained(name)
    spec = describe_model("resnet18", params, train, IMAGENET_CHANNELS if weights else None)
    torch.manual_seed(seed)
    model = build_model(spec)
    if weights:
        load_backbone(model, weights)
    result = fit(model, spec, train, val, params, seed, ResNetPlan(params), checkpoint=checkpoint)
    facts = {
        "family": "finetune",
        "pretrained": load_pretrained_manifest(name),
        "trainable_parameters": count_trainable(model, params),
    }
    if is_first():
        save_training(name, spec, params, result, seed, facts)


if __name__ == "__main__":
    sys.exit(run_training("finetune-resnet", main, sys.argv[1:]))
