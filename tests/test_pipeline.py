"""The pipeline as a whole, run by DVC for real on digits.

One small run of all stages is shared by the tests; each change starts from its results.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.projects import ROOT, SMALL, run
from tests.warm import start_warm_commands
from vision.base.params import get_value, read_params

pytestmark = pytest.mark.slow

STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
FOOT = re.compile(rb"<footer>.*</footer>", re.DOTALL)  # of the page: when and on which commit


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
    params = read_params(ROOT / "params.yaml")
    runs = []
    for name, stage in STAGES.items():
        models = get_value(params, stage["matrix"]["model"][2:-1]) if "matrix" in stage else [""]
        runs.append((name, models[-1]))
    return runs


def test_a_stage_alone_with_what_it_declares_gives_the_same_bytes(
    project: Path, tmp_path: Path
) -> None:
    """Nothing undeclared is read, and no out depends on the folder or on the hash seed."""
    with start_warm_commands(PYTHONHASHSEED="7"):
        for name, model in list_runs():
            run_alone(name, model, project, tmp_path / name)


def run_alone(name: str, model: str, project: Path, folder: Path) -> None:
    """Run a stage in a folder that has what it declares and nothing else; compare its outs."""
    stage = json.loads(json.dumps(STAGES[name]).replace("${item.model}", model))
    for dep in (dep.replace("${data.source}", SMALL["data.source"]) for dep in stage["deps"]):
        copy = shutil.copytree if (project / dep).is_dir() else shutil.copyfile
        (folder / dep).parent.mkdir(parents=True, exist_ok=True)
        copy(project / dep, folder / dep)  # type: ignore[operator]
    shutil.copyfile(project / "dvc.yaml", folder / "dvc.yaml")
    (folder / "params.yaml").write_text("{}")
    params = read_params(project / "params.yaml")
    for key in stage["params"]:
        add_value(folder / "params.yaml", key, get_value(params, key))
    run(folder, *stage["cmd"].split())
    for out in list_outs(stage):
        if not out.startswith(("data/timings/", "data/costs/")):  # seconds differ, as they should
            assert hash_out(folder, out) == hash_out(project, out) != {}, (name, out)


def list_outs(stage: dict[str, Any]) -> list[str]:
    outs = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    return [next(iter(out)) if isinstance(out, dict) else out for out in outs]


def add_value(path: Path, key: str, value: Any) -> None:
    params = yaml.safe_load(path.read_text())
    *sections, last = key.split(".")
    here = params
    for section in sections:
        here = here.setdefault(section, {})
    here[last] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def hash_out(project: Path, out: str) -> dict[str, str]:
    """Return the sha256 of an out's file or files, by path."""
    path = project / out
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {
        str(file.relative_to(project)): hashlib.sha256(FOOT.sub(b"", file.read_bytes())).hexdigest()
        for file in files
        if file.name != ".gitignore"
    }
