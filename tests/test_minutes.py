"""Recipes are trained for longer and longer, and set side by side by the minutes that they take."""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.gpu_plan import Budget
from benchmarks.minutes import load_stock, measure_minutes
from benchmarks.minutes_page import draw, tabulate
from benchmarks.minutes_points import RECIPES, Point, find_best
from flows.engine.overrides import parse_overrides
from stages import download_weights
from vision.base.errors import DataError, ParamsError
from vision.base.files import read_json, write_array, write_json
from vision.training.loop import Trainer

POINTS = [
    Point("paper", (1,), 0.9, 0.70, 0.69),
    Point("whitened-cnn", (1,), 1.5, 0.75, 0.74),
    Point("whitened-cnn", (2,), 2.9, 0.72, 0.73),
    Point("tuned", (1,), 4.0, 0.85, 0.84),
    Point("both", (1, 1), 5.5, 0.86, 0.88),
]
NAMES = [*RECIPES, "both"]


def test_the_best_is_what_validates_best_of_those_that_end_in_time() -> None:
    assert find_best(POINTS, 0.5) is None
    assert find_best(POINTS, 1) is POINTS[0]
    assert find_best(POINTS, 3) is POINTS[1]
    assert find_best(POINTS, 5) is POINTS[3]
    assert find_best(POINTS, 60) is POINTS[4]


def test_the_table_names_the_best_recipe_for_each_number_of_minutes() -> None:
    heads, rows = tabulate(POINTS, NAMES)
    by_minutes = {row[0]: dict(zip(heads, row, strict=True)) for row in rows}
    assert [by_minutes[minutes]["best"] for minutes in ("1", "2", "5")] == [
        "paper",
        "whitened-cnn",
        "tuned",
    ]
    assert by_minutes["3"]["whitened-cnn, val / test %"] == "**75.0 / 74.0, 1 epoch**"
    assert by_minutes["3"]["tuned, val / test %"] == "—"
    assert by_minutes["5"]["paper, val / test %"] == "70.0 / 69.0, 1 epoch"
    assert by_minutes["7"]["both, val / test %"] == "**86.0 / 88.0, 1 + 1 epochs**"


def test_the_plot_rises_only_where_a_training_is_better_than_all_shorter_ones() -> None:
    (axes,) = draw(POINTS, NAMES).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["whitened-cnn"].get_ydata()) == [75, 75, 75]
    assert list(lines["paper"].get_xdata()) == [0.9, 60]


PLAIN = {"epochs": 2, "batch_size": 12, "learning_rate": 0.01}
RESNET = {"architecture": "resnet18", "weights": "none", "optimizer": "adam"}
FAST = {"architecture": "whitened-cnn", "widths": [4, 6, 6], "optimizer": "sgd"}
FALLING = {"schedule": "linear"}
PARAMS: dict[str, Any] = {
    "seed": 0,
    "baselines": {"whitened-cnn": PLAIN | FAST | FALLING},
    "finetune": {"tuned": PLAIN | RESNET | FALLING, "paper": PLAIN | RESNET},
    "models": {
        "baselines": ["whitened-cnn"],
        "finetune": ["tuned", "paper"],
        "averages": {"both": {"first": "tuned", "second": "whitened-cnn"}},
        "evaluate": ["whitened-cnn", "tuned", "paper", "both"],
    },
}


@pytest.fixture
def prepared(raw: Path) -> Path:
    """A folder in which all is there that trainings read: 36 train, 12 val and 12 test images."""
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS))
    write_json(raw / "manifest.json", {"note": "Squares.", "official": True})
    parts = np.split(np.random.default_rng(0).permutation(60), [36, 48])
    for name, part in zip(("train", "val", "test"), parts, strict=True):
        write_array(Path(f"data/split/{name}.npy"), np.sort(part))
    download_weights.main("tuned")
    return Path("results")


@pytest.mark.slow
def test_a_call_that_was_ended_goes_on_within_a_training(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One epoch of each of three recipes, two of the first: the second recipe's second is ended."""
    monkeypatch.setattr("benchmarks.minutes.time_plain", take_an_hour)
    validate, epochs = Trainer.validate, [0]

    def end(trainer: Trainer, *arguments: Any) -> Any:
        epochs[0] += 1
        if epochs[0] == 7:
            raise KeyboardInterrupt
        return validate(trainer, *arguments)

    monkeypatch.setattr(Trainer, "validate", end)
    with pytest.raises(KeyboardInterrupt):
        measure(prepared)
    page = (prepared / "README.md").read_text()
    assert "- tuned-2: not begun" in page
    capsys.readouterr()
    measure(prepared)
    said = capsys.readouterr().out
    assert "5 of 7 pieces were measured before" in said
    assert "going on after epoch 1/2" in said
    page = (prepared / "README.md").read_text()
    assert "Not measured" not in page
    assert all(f"| {name} | 2 |" in page for name in ("whitened-cnn", "tuned", "paper"))
    assert (prepared / "minutes.png").stat().st_size > 10_000
    assert "A plain PyTorch program would take 60.0 minutes for the paper's recipe" in page
    assert "whitened-cnn in fp32, tuned in fp32, paper in fp32, the plain program in fp32" in page
    check_seeds(prepared, page)
    check_longer_training(prepared / "pieces", said)


def check_longer_training(pieces: Path, said: str) -> None:
    """At a constant rate two epochs go on from one; where the rate falls, they are others."""
    for recipe, goes_on in (("paper", True), ("tuned", False)):
        short, long = (
            read_json(pieces / f"{recipe}-{epochs}.json")["figures"]["history"] for epochs in (1, 2)
        )
        assert (short == long[:1]) is goes_on
    assert re.search(r"going on after epoch 1/2, found in \S+/minutes-paper-by-epochs-", said)


def check_seeds(folder: Path, page: str) -> None:
    """What validates best of all was trained with two seeds more; where it is two, both were."""
    name, epochs = re.findall(r"by then is (\S+), ([\d +]+) epoch", page)[0]
    recipes = ["tuned", "whitened-cnn"] if name == "both" else [name]
    pieces = {path.stem for path in (folder / "pieces").glob("*-seed-*.json")}
    assert pieces == {
        f"{recipe}-{count}-seed-{seed}"
        for recipe, count in zip(recipes, epochs.split(" + "), strict=True)
        for seed in (1, 2)
    }
    assert "The mean of 3 seeds is" in page


def take_an_hour(*_: Any) -> dict[str, Any]:
    return {"programs": [{"fit_seconds": 3600.0}, {"fit_seconds": 4000.0}]}


def take_no_time(*_: Any) -> dict[str, Any]:
    return {"programs": [{"fit_seconds": 0.0}]}


def test_what_is_missing_is_named_with_the_stages_that_make_it(prepared: Path) -> None:
    Path("data/split/test.npy").unlink()
    with pytest.raises(DataError, match=r"test\.npy is missing: dvc repro split download-weights@"):
        measure(prepared)


def test_recipes_that_start_from_different_weights_are_refused(prepared: Path) -> None:
    other = PARAMS | {"finetune": PARAMS["finetune"] | {"paper": PLAIN | RESNET | {"weights": "x"}}}
    Path("params.yaml").write_text(yaml.safe_dump(other))
    with pytest.raises(ParamsError, match="start from different weights"):
        measure(prepared)


def test_recipes_can_be_changed_for_a_study(prepared: Path) -> None:
    texts = ["finetune.tuned.weight_decay=0.5", "baselines.whitened-cnn.batch_size=6"]
    recipes = load_stock(parse_overrides(texts)).recipes
    assert (recipes["tuned"].weight_decay, recipes["whitened-cnn"].batch_size) == (0.5, 6)
    assert recipes["paper"] == load_stock().recipes["paper"]
    with pytest.raises(ParamsError, match=r"finetune\.tuned\.epochs is 'x'"):
        load_stock({"finetune.tuned.epochs": "x"})
    with pytest.raises(ParamsError, match=r"finetune\.tuned\.epoch is unknown; .* has .*epochs"):
        load_stock({"finetune.tuned.epoch": 3})


@pytest.mark.parametrize("key", ["seed", "finetune.large.epochs", "+models.averages.x", "epochs"])
def test_a_study_changes_what_it_measures_alone(prepared: Path, key: str) -> None:
    with pytest.raises(ParamsError, match=rf"^-S {re.escape(key)}: a study changes keys of base"):
        load_stock({key: 3})


def test_table_and_plot_end_with_what_a_training_might_take() -> None:
    _, rows = tabulate(POINTS, NAMES, limit=15)
    assert [row[0] for row in rows] == ["1", "2", "3", "5", "7", "10", "15"]
    (axes,) = draw(POINTS, NAMES, limit=15).axes
    assert max(line.get_xdata()[-1] for line in axes.lines) == 15


@pytest.mark.slow
def test_a_shorter_training_does_not_go_on_from_a_longer_one(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_alone("paper", monkeypatch)
    for lengths in ([2], [1]):
        measure(prepared, lengths=lengths)
    histories = [
        read_json(prepared / f"pieces/paper-{epochs}.json")["figures"]["history"]
        for epochs in (1, 2)
    ]
    assert histories[0] == histories[1][:1]


@pytest.mark.slow
def test_a_training_that_would_take_too_long_is_left_out(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_alone("whitened-cnn", monkeypatch)
    measure(prepared, limit=1e-9)
    page = (prepared / "README.md").read_text()
    assert "| whitened-cnn | 1 |" in page
    assert "- whitened-cnn-2: would take 0 minutes, more than 1e-09" in page


def measure_alone(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a single recipe measured, in whose time no plain program is."""
    for module in ("minutes", "minutes_points", "minutes_page"):
        monkeypatch.setattr(f"benchmarks.{module}.RECIPES", {recipe: RECIPES[recipe]})
    monkeypatch.setattr("benchmarks.minutes.time_plain", take_no_time)


def measure(folder: Path, limit: float = 60, lengths: Sequence[int] = (1, 2)) -> None:
    measure_minutes(folder, limit, Budget(time.monotonic(), 600), lengths=lengths)
