"""Fine-tune ResNet18, or another network of torchvision, and keep its best epoch on validation.

Reads data/raw, data/split, data/pretrained/NAME; writes data/models/NAME, data/training/NAME and
data/timings/NAME.json.
Run: python -m stages finetune-resnet paper
"""

from torch import nn

from stages.processes import run_training
from vision.base.sections import load_section, load_seed
from vision.data.dataset import load_split
from vision.models.networks import build_model, load_backbone, outline_model
from vision.models.pretrained import load_channels, load_pretrained, load_pretrained_manifest
from vision.schema.finetune import FinetuneParams
from vision.training.checkpoints import Checkpoints, forget
from vision.training.finetuning import BackbonePlan, check_recipe, count_trainable
from vision.training.loop import fit_seeds
from vision.training.recipes import describe_model
from vision.training.results import save_trainings


def load_recipe(name: str) -> FinetuneParams:
    return load_section(f"finetune.{name}", FinetuneParams)


def main(name: str) -> None:
    run_training("finetune-resnet", name, load_recipe(name), train)


def train(name: str, checkpoints: Checkpoints = forget) -> None:
    seed, params = load_seed(), load_recipe(name)
    train, val = load_split("train"), load_split("val")
    check_recipe(params, train.image_px, f"finetune.{name}")
    weights = load_pretrained(name)
    channels = load_channels(name) if weights else None
    spec = describe_model(params.architecture, params, train, channels, **params.get_options())

    def build() -> nn.Module:
        model = build_model(spec)
        if weights:
            load_backbone(model, spec, weights)
        return model

    facts = {
        "family": "finetune",
        "pretrained": load_pretrained_manifest(name),
        "trainable_parameters": count_trainable(outline_model(spec), params),
    }
    plan = BackbonePlan(params)
    fits = fit_seeds(build, spec, train, val, params, seed, plan, checkpoints)
    save_trainings(name, spec, params, fits, facts)
