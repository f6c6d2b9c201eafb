"""The pipeline as a whole, run by DVC for real on digits.

One small run of all stages is shared by the tests; each change starts from its results.
"""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.alone import STAGES, run_alone
from tests.projects import SMALL, run
from tests.warm import start_warm_commands

pytestmark = pytest.mark.slow


def test_right_after_a_run_everything_is_up_to_date(project: Path) -> None:
    assert "Data and pipelines are up to date." in run(project, "dvc", "status")


def test_an_experiment_trains_one_model_and_shows_up(changed: Path) -> None:
    before = json.loads((changed / "reports/metrics.json").read_text())
    output = run(
        changed, "dvc", "exp", "run", "-n", "faster", "-S", "finetune.paper.learning_rate=3e-3"
    )
    ran = set(re.findall(r"^Running stage '([^']+)'", output, re.MULTILINE))
    assert ran == {
        *("finetune-resnet@paper", "evaluate@paper", "robustness@paper", "explain@paper", "plot")
    }
    after = json.loads((changed / "reports/metrics.json").read_text())
    moved = {name for name in after["models"] if after["models"][name] != before["models"][name]}
    assert moved == {"paper"}
    assert "faster" in run(changed, "dvc", "exp", "show", "--csv")
    assert "finetune.paper.learning_rate" in run(changed, "dvc", "params", "diff")
    assert "models.paper.val_accuracy" in run(changed, "dvc", "metrics", "diff")
    compare_with_last_commit(changed)


def compare_with_last_commit(project: Path) -> None:
    """The report of the difference names the param, and no model but the one that changed."""
    run(project, "python", "-m", "flows.cli", "compare", "HEAD", "faster")
    text = (project / "comparison/report.md").read_text()
    assert r"| finetune.paper.learning\_rate | 0.0001 | 0.003 |" in text
    assert text.count("as before: the same predictions") == 3
    run(project, "python", "-m", "flows.cli", "compare", "faster")
    assert "as before" in (project / "comparison/report.md").read_text()
    shutil.rmtree(project / "comparison")


def test_plots_of_dvc_are_drawn(project: Path) -> None:
    assert "file://" in run(project, "dvc", "plots", "show")
    page = (project / "dvc_plots/index.html").read_text()
    assert "val_accuracy" in page
    shutil.rmtree(project / "dvc_plots")


def list_runs() -> list[tuple[str, str]]:
    """Return every stage with one of its models: dvc.yaml says the same of all of them."""
    models = SMALL["models"]
    runs = []
    for name, stage in STAGES.items():
        if "foreach" not in stage:  # an average, which tests/test_averages.py runs alone
            listed = stage["matrix"]["model"].strip("${}") if "matrix" in stage else ""
            runs.append((name, models[listed.removeprefix("models.")][-1] if listed else ""))
    return runs


def test_a_stage_alone_with_what_it_declares_gives_the_same_bytes(
    project: Path, tmp_path: Path
) -> None:
    """Nothing undeclared is read, and no out depends on the folder or on the hash seed."""
    with start_warm_commands(PYTHONHASHSEED="7"):
        for name, model in list_runs():
            run_alone(name, model, project, tmp_path / name)
