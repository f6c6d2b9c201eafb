"""A sweep reads values as a plan does, and is refused whole before its first experiment."""

import shutil
from pathlib import Path

import pytest

from flows.engine.choices import check_metric, check_sweep, expand_grid, parse_choices
from tests.projects import ROOT
from vision.base.errors import ParamsError
from vision.base.params import read_params

METRIC = "models.tuned.val_accuracy"


@pytest.fixture
def root(workspace: Path) -> Path:
    """The project's params and report, without its data."""
    for name in ("params.yaml", "sources", "reports/metrics.json"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        (workspace / name).parent.mkdir(exist_ok=True)
        copy(ROOT / name, workspace / name)
    return workspace


def test_a_grid_is_every_combination() -> None:
    assert list(expand_grid(["a.b=1,2", "c=x,y"])) == [
        ("a.b=1", "c=x"),
        ("a.b=1", "c=y"),
        ("a.b=2", "c=x"),
        ("a.b=2", "c=y"),
    ]
    assert list(expand_grid([])) == []


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("px=[128,128],[160,160]", ["[128,128]", "[160,160]"]),
        ("a='x,y',z", ["'x,y'", "z"]),
        ("a={b: 1, c: [2,3]},null", ["{b: 1, c: [2,3]}", "null"]),
        ("a=it's,that's", ["it's", "that's"]),
        ("a=", [""]),
    ],
)
def test_a_comma_inside_brackets_or_quotes_belongs_to_the_value(
    text: str, values: list[str]
) -> None:
    assert parse_choices(text).values == values


@pytest.mark.parametrize(
    ("grid", "search", "metric", "words"),
    [
        ([], [], METRIC, "nothing to run"),
        (["seed"], [], METRIC, "is no part of a grid: write"),
        (["seed=1,,2"], [], METRIC, "empty value"),
        (["seed=1,{"], [], METRIC, "'{' is not a value"),
        (["seed=1", "seed=2"], [], METRIC, "seed is there twice"),
        (["seed=1,-1"], [], METRIC, "seed=-1: seed is -1"),
        (["finetune.tuned.flop=1"], [], METRIC, r"flop is unknown; finetune\.tuned has .*flip"),
        (["finetune.large.px_by_epoch=[128,128]"], [], METRIC, "names 2 sizes for 8 epochs"),
        (["seed=1"], ["seed=1..2"], METRIC, "either search or grid"),
        (["seed=1,2"], [], "models.tuned.test_accuracy", "about the test split"),
        (["seed=1,2"], [], "models.tuned.val_acc", r"no metric .*: models\.tuned has .*val_acc"),
        (["seed=1,2"], [], "models.large.val_accuracy", "NAME one of two-layer-fc, "),
        (["seed=1,2"], [], "models.paper.val_accuracy_mean", "paper has no repeats"),
        ([], ["seed=abc..def"], METRIC, "ends of a range are numbers, and 'abc' is none"),
        ([], ["seed=1e-3..1e-5"], METRIC, r"from low to high; write 1e-05\.\.0\.001"),
        ([], ["seed=0.. .inf"], METRIC, "and inf is none"),
        ([], ["seed={..1"], METRIC, "'{..1' is not a value"),
        ([], ["seed=-5..3"], METRIC, "seed=-5: seed is -5"),
        ([], ["finetune.tuned.optimizer=sgd,adamx"], METRIC, "optimizer=adamx: .* is 'adamx'"),
    ],
)
def test_what_cannot_run_or_be_compared_is_refused(
    grid: list[str], search: list[str], metric: str, words: str, root: Path
) -> None:
    with pytest.raises(ParamsError, match=words) as error:
        check_sweep(grid, None, search, 10, metric, 1)
    assert len(str(error.value).splitlines()) == 1


def test_a_search_may_hold_values_that_do_not_all_go_together(root: Path) -> None:
    """adamw takes no momentum, but sgd does."""
    search = ["finetune.tuned.optimizer=sgd,adamw", "finetune.tuned.momentum=0,0.9"]
    check_sweep(None, None, search, 10, METRIC, 1)
    with pytest.raises(ParamsError, match=r"momentum=0\.9: .*belong to sgd"):
        check_sweep(search, None, None, 10, METRIC, 1)


def test_numbers_of_trials_and_neighbours_are_at_least_one(root: Path) -> None:
    for trials, parallel, words in ((0, 1, "trials is 0"), (1, 0, "parallel is 0")):
        with pytest.raises(ParamsError, match=words):
            check_sweep(["seed=1"], None, None, trials, METRIC, parallel)


def test_a_metric_may_be_of_a_model_that_has_not_run(root: Path) -> None:
    params = read_params()
    params["models"] = {
        "baselines": [],
        "finetune": ["large"],
        "averages": {},
        "evaluate": ["large"],
    }
    check_metric("models.large.val_accuracy", params, root)


def test_folds_alone_choose_nothing_and_may_have_a_test_figure(root: Path) -> None:
    folds, metric = ["split.folds=3", "split.fold=0,1,2"], "models.tuned.test_accuracy"
    check_sweep(folds, None, None, 10, metric, 1)
    with pytest.raises(ParamsError, match="about the test split"):
        check_sweep([*folds, "seed=1,2"], None, None, 10, metric, 1)
    with pytest.raises(ParamsError, match=r"split\.fold=3: .*fold 3 is not among 3 folds"):
        check_sweep(["split.folds=3", "split.fold=2,3"], None, None, 10, metric, 1)
