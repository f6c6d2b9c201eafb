"""The pipeline as a whole, run by DVC for real on digits.

One small run of all stages is shared by the tests; each change starts from its results.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from flows.engine.plan import make_plan
from tests.projects import ROOT, SMALL, append, keep_two_models, repro, run, set_value
from tests.vision.data.pictures import paint
from tests.warm import start_warm_commands
from vision.base.params import get_value, read_params

pytestmark = pytest.mark.slow

STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def drop_member(stage: str) -> str:
    """Return the stage's name without the matrix member."""
    return stage.partition("@")[0]


def read_table() -> list[tuple[str, str]]:
    text = (ROOT / "docs/reruns.md").read_text()
    rows = [
        tuple(cell.strip() for cell in line.split("|")[1:3])
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    return [(row[0], row[1]) for row in rows[1:]]


def make_photos(folder: Path) -> None:
    """Make photos of two classes in mixed sizes, modes and formats."""
    rng = np.random.default_rng(0)
    formats = [("jpg", "RGB"), ("png", "RGBA"), ("bmp", "L"), ("webp", "RGB"), ("png", "P")]
    for label, shade in (("dusk", 60), ("noon", 200)):
        (folder / label).mkdir(parents=True)
        for i in range(15):
            suffix, mode = formats[i % len(formats)]
            size = (17 + 9 * i, 90 - 3 * i)
            noise = rng.integers(-30, 30, (size[1], size[0], 3)) + shade
            Image.fromarray(noise.astype(np.uint8)).convert(mode).save(
                folder / label / f"{i}.{suffix}"
            )


def use_photos(project: Path) -> None:
    make_photos(project / "photos")
    set_value(project, "data.source", "photos")


def change_photos(change: Callable[[Path], object]) -> Callable[[Path], None]:
    """Return a change of photos on which the project has run already."""

    def make(project: Path) -> None:
        use_photos(project)
        repro(project)
        change(project / "photos")

    return make


def shuffle_photos(photos: Path) -> None:
    """Change photos in all ways at once; tests/fuzz does so one by one."""
    paint("red", (20, 30)).save(photos / "dusk/new.png")
    paint("red", (20, 30)).save(photos / "dusk/1.png")
    (photos / "noon/2.bmp").unlink()
    (photos / "dusk/4.png").rename(photos / "noon/dusk-4.png")


def change_own_weights(project: Path) -> None:
    """Let a recipe start from a file of one's own, and change the file."""
    mine = project / "sources/weights/mine.safetensors"
    shutil.copyfile(project / "data/models/paper/best.safetensors", mine)
    set_value(project, "finetune.paper.weights", mine.name)
    repro(project)
    weights = load_file(mine)
    weights["conv1.weight"] += 1
    save_file(weights, mine)


def set_to(key: str, value: Any) -> Callable[[Path], None]:
    return lambda project: set_value(project, key, value)


CHANGES: dict[str, Callable[[Path], None]] = {
    "nothing": lambda project: None,
    "a comment in params.yaml": lambda project: append(project / "params.yaml", "# new words\n"),
    "`epochs: 1.0` where it was 1": set_to("finetune.paper.epochs", 1.0),
    "`baselines.two-layer-fc.learning_rate`": set_to("baselines.two-layer-fc.learning_rate", 0.03),
    "`baselines.three-layer-cnn.learning_rate`": set_to(
        "baselines.three-layer-cnn.learning_rate", 0.03
    ),
    "`finetune.paper.learning_rate`": set_to("finetune.paper.learning_rate", 3e-4),
    "`finetune.tuned.learning_rate`": set_to("finetune.tuned.learning_rate", 2e-4),
    "a further seed, `finetune.paper.repeats`": set_to("finetune.paper.repeats", 1),
    "`finetune.paper.test_flip`": set_to("finetune.paper.test_flip", True),
    "a default that is written out, `finetune.paper.momentum: 0.0`": set_to(
        "finetune.paper.momentum", 0.0
    ),
    "`seed`": set_to("seed", 1),
    "`split.val_fraction`": set_to("split.val_fraction", 0.2),
    "`data.source`": use_photos,
    "a photo added, replaced, deleted, or moved to another class": change_photos(shuffle_photos),
    "a photo renamed, its place in the order kept": change_photos(
        lambda photos: (photos / "dusk/1.png").rename(photos / "dusk/1-new.png")
    ),
    "a file of your own in sources/weights, from which `paper` starts": change_own_weights,
    "`evaluate.bootstrap_resamples`": set_to("evaluate.bootstrap_resamples", 200),
    "`robustness.images`": set_to("robustness.images", 20),
    "`explain.images`": set_to("explain.images", 1),
    "`duplicates.max_distance`": set_to("duplicates.max_distance", 9),
    "`plot.dpi`": set_to("plot.dpi", 60),
    "the code of a figure, vision/report/figures.py": lambda project: append(
        project / "vision/report/figures.py", "# new words\n"
    ),
    "the code of the training loop, vision/training/loop.py": lambda project: append(
        project / "vision/training/loop.py", "UNUSED = 1\n"
    ),
    "a comment in the training loop": lambda project: append(
        project / "vision/training/loop.py", "# new words\n"
    ),
    "a comment in vision/evaluation/corruptions.py": lambda project: append(
        project / "vision/evaluation/corruptions.py", "# new words\n"
    ),
}


@pytest.mark.parametrize(("change", "stages"), read_table(), ids=lambda text: text[:40])
def test_a_change_runs_the_stages_of_the_table_and_no_others(
    change: str, stages: str, changed: Path
) -> None:
    names = [] if stages == "none" else re.sub(r" \([^)]*\)", "", stages).split(", ")
    known = set(re.findall(r"([a-z-]+(?:@[a-z-]+)?) \(in seconds\)", stages))
    if any("matrix" in STAGES.get(name, {}) for name in names):  # all models are touched
        keep_two_models(changed)
        if "plot" not in names:  # which runs for that
            repro(changed)
    CHANGES[change](changed)
    plan = make_plan(changed)
    planned = {stage.name: stage.verdict for stage in plan}
    assert set(names) <= {*planned, *map(drop_member, planned)}
    expected = {stage for stage in planned if stage in names or drop_member(stage) in names}
    ran = repro(changed)
    assert ran == expected
    assert {name for name, verdict in planned.items() if verdict == "run"} <= ran
    assert ran <= {name for name, verdict in planned.items() if verdict in ("run", "maybe")}
    assert {stage.name for stage in plan if stage.known} == {
        stage for stage in ran if stage in known or drop_member(stage) in known
    }


def test_every_change_is_in_the_table() -> None:
    assert [change for change, _ in read_table()] == list(CHANGES)


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
        str(file.relative_to(project)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.name != ".gitignore"
    }
