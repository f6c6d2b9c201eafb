"""The benchmarks run; what they measure is nobody's business here."""

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare import ratio, write_table
from benchmarks.recipes import add_minutes, list_sides, trace_courses
from benchmarks.speed import (
    PAPER,
    Rates,
    Speed,
    build_trainer,
    count_flops,
    make_images,
    take_turns,
)
from tests.projects import ROOT, run
from vision.base.files import write_json
from vision.schema.baselines import SCHEMAS
from vision.schema.finetune import FinetuneParams

SPEEDS = [
    Speed("plain, 0 workers", 32, 100.0, 400.0, 0.2),
    Speed("plain, 2 workers", 32, 80.0, 500.0, 0.2),
    Speed("ours, fp32", 32, 150.0, 1500.0, 0.3),
    Speed("plain, 0 workers", 64, 1.0, 1.0, 0.2),
]


def test_a_program_is_compared_with_the_faster_plain_one_at_its_size() -> None:
    assert ratio(SPEEDS[2], SPEEDS, "train") == "1.50"
    assert ratio(SPEEDS[2], SPEEDS, "evaluate") == "3.00"


def test_a_step_of_resnet18_takes_three_times_its_forward_pass_less_the_first_layer() -> None:
    """Forward 0.074 GFLOP at 32 px; the gradient of the first convolution's input is not needed."""
    assert count_flops(32) == pytest.approx(0.217e9, rel=0.01)


def test_a_table_has_a_line_under_its_head() -> None:
    assert write_table(("a", "b"), [(1, 2)]) == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]


def test_epochs_take_what_their_images_take_at_their_size() -> None:
    rates = {16: Rates(600.0, 3000.0), 32: Rates(100.0, 500.0)}
    minutes = add_minutes([16, 32, 32], rates, n_train=6000, n_val=500)
    assert minutes == pytest.approx([11 / 60, 72 / 60])


@pytest.mark.parametrize(
    ("recipe", "sides"),
    [
        ({"epochs": 2, "input_px": None}, [32, 32, 32]),
        ({"epochs": 2, "input_px": 64, "px_by_epoch": [16, 48]}, [16, 48, 64]),
    ],
)
def test_a_recipe_has_a_size_for_each_epoch_and_one_to_be_judged_at(
    recipe: dict[str, Any], sides: list[int]
) -> None:
    assert list_sides(recipe) == sides


def write_training(name: str, architecture: str, recipe: dict[str, Any]) -> None:
    folder = Path("data/training") / name
    write_json(folder / "summary.json", {"architecture": architecture, "recipe": recipe})
    (folder / "history.csv").write_text("epoch,val_accuracy\n1,0.5\n2,0.25\n")


CACHED = {"input_px": 64, "train_from": "layer4", "cache_features": True, "test_flip": True}


def test_what_frozen_layers_give_is_computed_before_the_first_epoch() -> None:
    rates = {16: Rates(600.0, 3000.0, begin=0.01)}
    without = add_minutes([16, 16, 16], {16: Rates(600.0, 3000.0)}, n_train=6000, n_val=500)
    minutes = add_minutes([16, 16, 16], rates, n_train=6000, n_val=500)
    assert minutes == pytest.approx([each + 1 for each in without])


def test_features_of_frozen_layers_are_timed_apart() -> None:
    data = make_images(64)
    cached = {"kept": build_trainer(data, PAPER | CACHED)}
    rates = take_turns(cached, data, rounds=1)["kept"]
    assert rates.begin > 0


@pytest.mark.slow
def test_recorded_trainings_are_traced_beside_the_plain_program(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A worker is a fork of this process, and fails where another test has used Prefect in it.
    monkeypatch.setattr("benchmarks.speed.WORKERS", (0,))
    write_json(Path("data/split/summary.json"), {"train": {"n": 6000}, "val": {"n": 500}})
    for name, more in {"paper": {}, "tuned": CACHED}.items():
        recipe = FinetuneParams.model_validate(PAPER | {"epochs": 2} | more).model_dump(mode="json")
        write_training(name, "resnet18", recipe)
    write_training("small", "two-layer-fc", {})
    write_training("both", "average", {"first": "paper", "second": "tuned", "share": 0.5})
    own = {"architecture": "whitened-cnn", "widths": [8, 8, 8]}
    values = {key: value for key, value in PAPER.items() if key != "weights"}
    fast = SCHEMAS["whitened-cnn"].model_validate(values | own | {"epochs": 2})
    write_training("whitened-cnn", "whitened-cnn", fast.model_dump(mode="json"))
    courses = trace_courses(make_images(32), rounds=1)
    assert [(c.recipe, c.program) for c in courses] == [
        ("paper", "plain program"),
        ("paper", "this pipeline"),
        ("tuned", "this pipeline"),
        ("whitened-cnn", "this pipeline"),
    ]
    assert {(c.best, len(c.minutes)) for c in courses} == {(0.5, 2)}


@pytest.mark.slow
def test_the_comparison_runs_and_writes_its_results(tmp_path: Path) -> None:
    options = ["--sizes", "32", "--images", "32", "--rounds", "1", "--counts", "256", "512"]
    run(ROOT, sys.executable, "-m", "benchmarks.compare", *options, "--out", str(tmp_path))
    report = (tmp_path / "README.md").read_text()
    assert "| ours, fp32 | 32 |" in report
    assert "| 512 |" in report
    assert {path.name for path in tmp_path.glob("*.png")} == {"speed.png", "minutes.png"}
