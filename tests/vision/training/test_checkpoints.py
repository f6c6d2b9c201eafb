import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import make_image_set
from vision.base.kept import CHECKPOINTS
from vision.models.networks import build_model
from vision.schema.baselines import SCHEMAS
from vision.schema.finetune import FinetuneParams
from vision.training.baselines import prepare_baseline
from vision.training.checkpoints import Checkpoint, open_checkpoint
from vision.training.finetuning import BackbonePlan
from vision.training.loop import Fit, Trainer, fit
from vision.training.recipes import describe_model

TRAIN, VAL = make_image_set(8, image_px=32), make_image_set(2, image_px=32, seed=1)
PLAIN = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01}
CNN = {"architecture": "three-layer-cnn", "first_filters": 4, "second_filters": 4, "dropout": 0.5}
RECIPES: dict[str, dict[str, Any]] = {
    "all knobs": {
        "architecture": "resnet18",
        "weights": "none",
        "optimizer": "adamw",
        "schedule": "one-cycle",
        "ema_decay": 0.5,
        "crop_padding_px": 2,
        "flip": True,
        "alternate_flip": True,
        "cutout_px": 4,
        "px_by_epoch": [16, 24, 32],
        "body_learning_rate": 0.001,
    },
    "cached features": {
        "architecture": "resnet18",
        "weights": "none",
        "optimizer": "adam",
        "flip": True,
        "head_epochs": 2,
        "train_from": "layer4",
        "cache_features": True,
    },
    "dropout": CNN
    | {"optimizer": "sgd", "momentum": 0.9, "schedule": "cosine", "warmup": 0.3, "flip": True},
    "whitened": {
        "architecture": "whitened-cnn",
        "widths": [4, 6, 6],
        "whiten_bias_epochs": 2,
        "optimizer": "muon",
        "muon_learning_rate": 0.1,
        "bias_learning_rate": 0.1,
        "momentum": 0.8,
        "nesterov": True,
        "schedule": "linear",
        "lookahead": 2,
    },
}


def run(recipe: str, checkpoint: Checkpoint | None = None) -> Fit:
    values = PLAIN | RECIPES[recipe]
    torch.manual_seed(0)
    if "weights" not in values:
        params: Any = SCHEMAS[values["architecture"]].model_validate(values)
        spec, build, plan = prepare_baseline(params, TRAIN)
        return fit(build(), spec, TRAIN, VAL, params, 0, plan, checkpoint)
    params = FinetuneParams.model_validate(values)
    spec = describe_model("resnet18", params, TRAIN)
    return fit(build_model(spec), spec, TRAIN, VAL, params, 0, BackbonePlan(params), checkpoint)


def end_in(epoch: int, recipe: str, checkpoint: Checkpoint) -> None:
    """Train until the images of `epoch` are done, and no further."""

    def end(trainer: Trainer, *_: object) -> None:
        if trainer.schedule.last_epoch == epoch * trainer.steps_per_epoch:
            raise KeyboardInterrupt
        return real(trainer, *_)

    real: Any = Trainer.validate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "validate", end)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, checkpoint)


def are_equal(first: Fit, second: Fit) -> bool:
    states = [(first.best_state, second.best_state), (first.last_state, second.last_state)]
    return first.history == second.history and all(
        torch.equal(a[key], b[key]) for a, b in states for key in a | b
    )


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("epoch", [2, 3])
def test_a_training_that_went_on_gives_the_same_bits_as_one_never_ended(
    recipe: str, epoch: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = Checkpoint(tmp_path / "mine.pt")
    end_in(epoch, recipe, checkpoint)
    capsys.readouterr()
    assert are_equal(run(recipe, checkpoint), run(recipe))
    assert f"going on after epoch {epoch - 1}/3" in capsys.readouterr().out


def test_a_finished_training_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint(tmp_path / "mine.pt")
    first = run("dropout", checkpoint)
    monkeypatch.setattr(Trainer, "train_epoch", None)
    second = run("dropout", checkpoint)
    assert are_equal(first, second)
    assert second.seconds == first.seconds
    assert second.images_per_second == first.images_per_second


@pytest.mark.parametrize("position", [0, 40, -1])
def test_a_damaged_checkpoint_is_said_and_not_used(
    position: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.pt"
    Checkpoint(path).save({"epoch": 1})
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    assert Checkpoint(path).load() is None
    assert capsys.readouterr().out == f"{path} is damaged: starting from the first epoch\n"


def test_an_empty_checkpoint_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").touch()
    assert Checkpoint(tmp_path / "mine.pt").load() is None


@pytest.mark.usefixtures("workspace")
def test_what_decides_the_training_names_its_checkpoint() -> None:
    decisive = {"seed": "1", "finetune.mine": "2"}
    path = open_checkpoint("mine", decisive).path
    assert path == open_checkpoint("mine", dict(reversed(decisive.items()))).path
    assert path != open_checkpoint("mine", decisive | {"seed": "3"}).path
    assert path != open_checkpoint("other", decisive).path


def test_the_oldest_checkpoints_of_a_name_make_room(workspace: Path) -> None:
    paths = []
    for seed in range(4):
        checkpoint = open_checkpoint("mine", {"seed": str(seed)})
        checkpoint.save({})
        assert checkpoint.path
        os.utime(checkpoint.path, (seed, seed))
        paths.append(checkpoint.path)
    open_checkpoint("mine-too", {}).save({})
    assert {path for path in paths if path.exists()} == set(paths[2:])


def test_an_empty_folder_turns_checkpoints_off(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CHECKPOINTS, "")
    checkpoint = open_checkpoint("mine", {})
    checkpoint.save({"epoch": 1})
    assert checkpoint.load() is None
    assert not list(workspace.iterdir())
