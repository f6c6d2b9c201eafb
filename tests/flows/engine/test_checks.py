"""Params are checked whole, each thing that is wrong in a line, before anything runs."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.engine.checks import check_run
from flows.engine.overrides import parse_overrides
from tests.projects import ROOT, set_value
from vision.base.errors import PipelineError


@pytest.fixture
def root(workspace: Path) -> Path:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(ROOT / name, workspace / name)
    shutil.copytree(ROOT / "sources", workspace / "sources")
    return workspace


WRONG: dict[str, tuple[Any, str]] = {
    "seed": ("abc", "seed is 'abc': input should be a valid integer"),
    "data.source": ("nowhere", "data.source is 'nowhere', which does not exist"),
    "split.val_fraction": (7, "split.val_fraction is 7: input should be less than 1"),
    "models.finetune": (["paper", "tuned", "large"], "models: evaluate must list "),
    "baselines.two-layer-fc.architecture": ([1], "architecture is [1]; choose from"),
    "finetune.paper.optimizer": ("adamx", "finetune.paper.optimizer is 'adamx'"),
    "finetune.large.epochs": (4, "px_by_epoch names 8 sizes for 4 epochs"),
    "explain.imagse": (3, "explain.imagse is unknown; explain has images"),
    "plotting": ({}, "plotting is unknown; params.yaml has seed, data"),
}


def test_each_thing_that_is_wrong_has_its_line(root: Path) -> None:
    for key, (value, _) in WRONG.items():
        set_value(root, key, value)
    with pytest.raises(PipelineError) as error:
        check_run(root)
    lines = str(error.value).splitlines()
    assert len(lines) == len(WRONG)
    for _, words in WRONG.values():
        assert any(words in line for line in lines), words


def test_models_that_no_recipe_describes_are_named(root: Path) -> None:
    models = {
        "baselines": ["two-layer-fc"],
        "finetune": ["nix"],
        "averages": {},
        "evaluate": ["nix"],
    }
    set_value(root, "models", models)
    with pytest.raises(PipelineError, match=r"models\.finetune names .nix.; finetune has paper"):
        check_run(root)


def test_stages_and_jobs_that_cannot_be_are_refused(root: Path) -> None:
    check_run(root, ["evaluate@paper", "plot"], jobs=1)
    with pytest.raises(PipelineError, match="there is no stage 'nix'; there are download, split"):
        check_run(root, ["plot", "nix"])
    with pytest.raises(PipelineError, match="jobs is 0: give 1 or more"):
        check_run(root, jobs=0)


@pytest.mark.parametrize(
    "text",
    [
        "finetune.paper.label_smoothing=0.1",
        "+finetune.paper.label_smoothing=0.1",
        "++finetune.paper.label_smoothing=0.1",
        "~finetune.tuned.test_shift_px",
        "~finetune.tuned.test_shift_px=1",
        "~finetune.large",
        "finetune.tuned={epochs: 1}",
        "+finetune.mine={architecture: resnet18, weights: none, optimizer: adam, learning_rate: 1, "
        "epochs: 1, batch_size: 2}",
    ],
)
def test_keys_are_set_added_and_removed_as_dvc_does(text: str, root: Path) -> None:
    check_run(root, overrides=parse_overrides([text]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("finetune.paper.flop=1", r"flop is unknown; finetune\.paper has .*flip"),
        ("+seed=1", "has seed already: leave out the +"),
        ("+finetune.paper.epochs.more=1", "is 10, and has no more"),
        ("~seed=5", "~seed=5: it is 0"),
        ("~seed", "seed is missing from params.yaml"),
        ("~finetune.nix", r"finetune\.nix is missing: finetune has paper"),
        ("optimizer=adamx", r"optimizer is missing: params\.yaml has seed"),
        ("seed=1,2", "seed is '1,2'"),
        ("seed={", "'{' is not a value"),
        ("seed", r"write section\.key=value"),
        ("finetune.paper.architecture=resnet81", "is 'resnet81': torchvision has .* resnet18"),
        ("finetune.tuned.architecture=convnext_tiny", "lacks: choose from features.0, features.1"),
        ("finetune.paper.architecture=inception_v3", "cannot take images of 32 pixels .* to 299"),
        ("+=1", r"write section\.key=value"),
    ],
)
def test_a_change_that_cannot_be_is_one_line(text: str, words: str, root: Path) -> None:
    with pytest.raises(PipelineError, match=words) as error:
        check_run(root, overrides=parse_overrides([text]))
    assert len(str(error.value).splitlines()) == 1
