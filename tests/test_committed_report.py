"""The committed results are whole, and the README repeats them truly."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
METRICS: dict[str, Any] = json.loads((ROOT / "reports/metrics.json").read_text())
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
FIGURES = (
    "params",
    "epochs",
    "best_epoch",
    "train_accuracy",
    "val_accuracy",
    "test_accuracy",
    "test_accuracy_low",
    "test_accuracy_high",
)
OF_TRAININGS = {"epochs", "best_epoch", "train_accuracy"}  # which an average has not


def test_the_committed_results_are_those_of_the_committed_params() -> None:
    assert sorted(METRICS["models"]) == sorted(PARAMS["models"]["evaluate"])
    assert METRICS["data"]["source"] == Path(PARAMS["data"]["source"]).stem


@pytest.mark.parametrize("name", METRICS["models"])
def test_each_model_has_all_its_figures(name: str) -> None:
    figures = METRICS["models"][name]
    missing = set(FIGURES) - set(figures)
    assert missing == (OF_TRAININGS if name in PARAMS["models"]["averages"] else set())
    assert figures["test_accuracy_low"] <= figures["test_accuracy"] <= figures["test_accuracy_high"]


def test_the_data_is_counted_and_says_whether_it_is_official() -> None:
    data = METRICS["data"]
    assert (data["n_train"] + data["n_val"], data["n_test"]) == (50_000, 10_000)
    share = data["n_val"] / 50_000  # by a hash of each image, so about
    assert share == pytest.approx(PARAMS["split"]["val_fraction"], abs=0.005)
    assert isinstance(data["official"], bool)


@pytest.mark.parametrize("name", METRICS["models"])
def test_the_readme_repeats_the_metrics(name: str) -> None:
    text = (ROOT / "README.md").read_text()
    row = re.search(rf"^\| {name} .*$", text, re.MULTILINE)
    assert row, f"README has no row for {name}"
    figures = METRICS["models"][name]
    percents = [f"{100 * figures[key]:.1f}" for key in ("val_accuracy", "test_accuracy")]
    low, high = (f"{100 * figures[f'test_accuracy_{end}']:.1f}" for end in ("low", "high"))
    assert percents == re.findall(r"\| (\d+\.\d) ", row[0])[-2:]
    assert f"[{low}, {high}]" in row[0]


def test_pictures_of_the_readme_and_the_report_exist() -> None:
    for path in (ROOT / "README.md", ROOT / "reports/report.md"):
        pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", path.read_text())
        assert pictures
        assert all((path.parent / picture).is_file() for picture in pictures)
