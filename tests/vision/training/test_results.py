import json
from pathlib import Path

import pytest
import torch

from tests.conftest import make_image_set
from vision.models.networks import build_model, load_model
from vision.schema.finetune import FinetuneParams
from vision.schema.recipes import TrainParams
from vision.training.loop import fit
from vision.training.recipes import describe_model
from vision.training.results import save_training

PLAIN = {
    "architecture": "resnet18",
    "weights": "none",
    "epochs": 1,
    "batch_size": 8,
    "optimizer": "adam",
    "learning_rate": 0.1,
    "schedule": "cosine",
}
FIRST_KNOBS = {
    *(PLAIN.keys() - {"architecture"}),
    *("momentum", "nesterov", "weight_decay", "label_smoothing", "crop_padding_px", "flip"),
    *("test_flip", "input_px", "precision", "train_from", "head_epochs"),
}


@pytest.fixture
def saved(workspace: Path) -> Path:
    params = TrainParams(epochs=3, batch_size=8, optimizer="sgd", learning_rate=0.5)
    train, val = make_image_set(8), make_image_set(4, seed=1)
    spec = describe_model("two-layer-fc", params, train, hidden_units=4)
    torch.manual_seed(0)
    result = fit(build_model(spec), spec, train, val, params, seed=7)
    save_training("mine", spec, params, result, 7, {"family": "baselines"})
    return workspace / "data"


def test_the_summary_repeats_the_row_of_the_best_epoch(saved: Path) -> None:
    summary = json.loads((saved / "training/mine/summary.json").read_text())
    lines = (saved / "training/mine/history.csv").read_text().splitlines()
    assert lines[0] == "epoch,train_loss,train_accuracy,val_loss,val_accuracy"
    row = [float(value) for value in lines[summary["best_epoch"]].split(",")]
    figures = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    assert row == [summary["best_epoch"], *(summary[key] for key in figures)]


def test_both_models_say_which_epoch_they_are_of(saved: Path) -> None:
    summary = json.loads((saved / "training/mine/summary.json").read_text())
    _, best = load_model(saved / "models/mine/best.safetensors")
    _, last = load_model(saved / "models/mine/last.safetensors")
    assert (best.epoch, last.epoch) == (summary["best_epoch"], 3)


def test_seconds_are_in_the_timing_alone(saved: Path) -> None:
    timing = json.loads((saved / "timings/mine.json").read_text())
    assert timing["train_seconds"] >= 0
    assert "second" not in (saved / "training/mine/summary.json").read_text()


def test_a_knob_that_came_later_is_in_the_summary_only_where_it_is_turned() -> None:
    plain = FinetuneParams.model_validate(PLAIN)
    assert set(plain.model_dump(mode="json")) == FIRST_KNOBS
    turned = FinetuneParams.model_validate(PLAIN | {"ema_decay": 0.9, "warmup": 0.1})
    assert set(turned.model_dump(mode="json")) == FIRST_KNOBS | {"ema_decay", "warmup"}
