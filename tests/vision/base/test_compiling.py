"""A network may be compiled: it learns the same, goes on, and what cannot be compiled is said."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import make_image_set
from tests.projects import ROOT
from tests.skips import skip_without
from tests.vision.base import compiled_fit
from vision.base import compiling
from vision.base.errors import ParamsError
from vision.base.launching import launch
from vision.base.sections import check_section
from vision.models.inference import prepare_device
from vision.models.networks import load_model, save_model
from vision.schema.baselines import SCHEMAS
from vision.schema.finetune import FinetuneParams
from vision.training.baselines import prepare_baseline
from vision.training.checkpoints import Checkpoint
from vision.training.loop import Fit, fit

TRAIN, VAL = make_image_set(8), make_image_set(4, seed=1)
RECIPE = {
    "architecture": "three-layer-cnn",
    "first_filters": 4,
    "second_filters": 4,
    "epochs": 2,
    "batch_size": 12,
    "optimizer": "sgd",
    "learning_rate": 0.05,
    "ema_decay": 0.5,
}


def run(checkpoint: Checkpoint | None = None, **changes: Any) -> Fit:
    params = SCHEMAS["three-layer-cnn"].model_validate(RECIPE | changes)
    spec, build, plan = prepare_baseline(params, TRAIN)
    torch.manual_seed(0)
    return fit(build(), spec, TRAIN, VAL, params, 0, plan, checkpoint)


@pytest.fixture(scope="module")
def compiled() -> Iterator[Fit]:
    if not shutil.which(os.environ.get("CXX", "g++")):
        skip_without("a C++ compiler", "apt install g++")
    yield run(compile=True)
    prepare_device()


@pytest.mark.slow
def test_a_compiled_network_learns_what_it_does_otherwise(compiled: Fit, tmp_path: Path) -> None:
    plain = run()
    for key, value in plain.last_state.items():
        torch.testing.assert_close(compiled.last_state[key], value)
    params = SCHEMAS["three-layer-cnn"].model_validate(RECIPE)
    spec = prepare_baseline(params, TRAIN).spec
    save_model(tmp_path / "m.safetensors", compiled.best_state, spec)
    load_model(tmp_path / "m.safetensors")


@pytest.mark.slow
def test_a_compiled_training_that_went_on_gives_the_same_bits(
    compiled: Fit, tmp_path: Path
) -> None:
    checkpoint = Checkpoint(tmp_path / "mine.pt")
    run(checkpoint, compile=True, epochs=1)
    again = run(checkpoint, compile=True)
    assert again.history == compiled.history
    for key, value in compiled.last_state.items():
        assert torch.equal(again.last_state[key], value)


@pytest.mark.slow
def test_two_processes_compile_what_one_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    monkeypatch.setattr(compiling, "BACKEND", compiling.BACKEND)  # put back after it
    compiled_fit.main(one, compiled=False)
    assert launch(2, compiled_fit.__name__, [str(two), "compile"]) == 0
    expected = load_file(one)
    for key, value in load_file(two).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_machine_without_a_compiler_says_so_before_the_first_epoch(tmp_path: Path) -> None:
    code = (
        "from vision.base.errors import TrainingError\n"
        "from tests.vision.base.test_compiling import run\n"
        "try: run(compile=True)\n"
        "except TrainingError as error: print(f'said: {error}')\n"
    )
    kept = {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | kept,
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith("said: compile: true cannot be had on this machine (")
    assert line.endswith(
        "install a C++ compiler, such as g++, and Python's headers, or set compile: false"
    )


def test_features_that_are_kept_leave_nothing_to_compile() -> None:
    recipe = {"architecture": "resnet18", "weights": "none", "optimizer": "adam"}
    recipe |= {"epochs": 1, "batch_size": 8, "learning_rate": 0.1, "train_from": "layer4"}
    with pytest.raises(ParamsError, match="cache_features cuts the network that compile would"):
        check_section("r", recipe | {"cache_features": True, "compile": True}, FinetuneParams)


def test_determinism_is_off_where_a_recipe_says_so_and_on_again_after_it() -> None:
    run(deterministic=False)
    assert torch.get_deterministic_debug_mode() == 0
    assert torch.backends.cudnn.benchmark
    prepare_device()
    assert torch.get_deterministic_debug_mode() == 2
    assert not torch.backends.cudnn.benchmark
