import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.engine.choices import METRICS
from flows.engine.tree import read_saved
from flows.sweep import Experiment, Result, conclude, sweep
from tests.flows.toy import dvc


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "nothing to run"),
        ({"grid": ["fetch.seconds=1"], "metric": "models.a.test_accuracy"}, "test split"),
    ],
)
def test_what_cannot_be_swept_ends_as_failed(
    parameters: dict[str, Any], message: str, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh)
    state: State[Any] = sweep.fn(name="x", **parameters)
    assert state.is_failed()
    assert message in str(state.message)


@pytest.mark.server
@pytest.mark.usefixtures("prefect_server", "warm_python")
def test_one_failure_does_not_stop_the_rest_and_the_best_is_first(
    toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The toy scores by how long `report` sleeps."""
    monkeypatch.chdir(toy)
    add_score(toy)
    state: State[Any] = sweep(
        grid=["report.seconds=0.01,0.3,nonsense,0.2"],
        metric="models.toy.val_accuracy",
        name="nap",
        parallel=2,
        return_state=True,
    )
    assert state.is_failed()
    assert state.message == "1 of 4 failed: nap-3"
    _, _, board = capsys.readouterr().out.partition("Experiments by models.toy.val_accuracy")
    assert re.findall(r"^ (nap-\d) ", board, re.MULTILINE) == ["nap-2", "nap-4", "nap-1", "nap-3"]
    listed = dvc(toy, "exp", "list", "--all-commits")
    assert [name for name in ("nap-1", "nap-2", "nap-3", "nap-4") if name in listed] == [
        "nap-1",
        "nap-2",
        "nap-4",
    ]
    assert json.loads(read_saved("nap-1", METRICS))["kept"] == "4"  # two, and two side by side
    assert "PIPELINE_CHECKPOINTS_KEPT" not in os.environ


@pytest.mark.server
@pytest.mark.usefixtures("prefect_server", "warm_python")
def test_a_search_finds_a_value_in_its_range(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy)
    add_score(toy)
    state: State[Any] = sweep(
        search=["report.seconds=0.1..0.4"],
        trials=2,
        metric="models.toy.val_accuracy",
        name="search",
        return_state=True,
    )
    assert state.is_completed()
    assert 0.1 <= float(str(state.message).rpartition(" ")[2]) <= 0.4


def test_folds_end_with_their_mean() -> None:
    folds = [Result(Experiment(f"x-{n}", (f"split.fold={n}",)), 0.5 + n / 10, "") for n in (2, 1)]
    (words,) = conclude(folds)
    assert words.startswith("mean of 2 folds: 0.6500 (95 % t-interval 0.")
    other = Result(Experiment("x-0", ("seed=1",)), 0.9, "")
    assert [*conclude([other, *folds])] == ["best of 3: x-0, 0.9000", words]


def add_score(toy: Path) -> None:
    """Make `report` write the sleep that it was asked for as its accuracy."""
    code = (toy / "stage.py").read_text()
    score = """
if stage == "report":
    import os, pathlib
    folder = pathlib.Path("reports")
    folder.mkdir(exist_ok=True)
    score = float(recipe["seconds"])
    accuracies = dict.fromkeys(
        ["val_accuracy", "test_accuracy", "test_accuracy_low", "test_accuracy_high"], score
    )
    metrics = {"models": {"toy": accuracies | {"best_epoch": 1, "epochs": 2}}}
    metrics["kept"] = os.environ.get("PIPELINE_CHECKPOINTS_KEPT")
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "report.md").write_text(f"# Slept {score} s")
    (folder / "report.html").touch()
"""
    (toy / "stage.py").write_text(code + score)
    text = (toy / "dvc.yaml").read_text()
    metric = "    metrics:\n    - reports/metrics.json:\n        cache: false\n"
    (toy / "dvc.yaml").write_text(text.replace("    - report.txt\n", "    - report.txt\n" + metric))
    dvc(toy, "repro", "--quiet")
