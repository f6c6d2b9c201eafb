"""Train a hand-made network from random weights and keep its best epoch on validation.

Reads data/raw, data/split; writes data/models/NAME, data/training/NAME and data/timings/NAME.json.
Run: python -m stages train-baselines two-layer-fc
"""

from stages.processes import run_training
from vision.base.sections import load_seed
from vision.data.dataset import load_split
from vision.models.networks import count_parameters, outline_model
from vision.schema.baselines import load_baseline
from vision.training.baselines import prepare_baseline
from vision.training.checkpoints import Checkpoints, forget
from vision.training.loop import fit_seeds
from vision.training.results import save_trainings


def main(name: str) -> None:
    run_training("train-baselines", name, load_baseline(name), train)


def train(name: str, checkpoints: Checkpoints = forget) -> None:
    seed, params = load_seed(), load_baseline(name)
    train, val = load_split("train"), load_split("val")
    spec, build, plan = prepare_baseline(params, train)
    facts = {
        "family": "baselines",
        "pretrained": None,
        "trainable_parameters": count_parameters(outline_model(spec), trainable=True),
    }
    fits = fit_seeds(build, spec, train, val, params, seed, plan, checkpoints)
    save_trainings(name, spec, params, fits, facts)
