"""A small copy of this project in which DVC and Prefect run for real, on digits."""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.warm import QUICK, find_commands
from vision.base.params import get_value, read_params

ROOT = Path(__file__).parents[1]
# Seconds, and what shows them; what trainings keep for themselves.
DIFFERING = ("timings", "costs", "report.md", "report.html", "model-card.md", "checkpoints")
KEPT = Path("data/checkpoints")  # what stages know from earlier runs
SMALL: dict[str, Any] = {
    "models": {
        "baselines": ["two-layer-fc", "three-layer-cnn"],
        "finetune": ["paper", "tuned"],
        "averages": {},
        "evaluate": ["two-layer-fc", "three-layer-cnn", "paper", "tuned"],
    },
    "data.source": "sources/digits.yaml",
    "data.image_px": 16,
    "explain.images": 2,
    "explain.mapped": 20,
    "plot.dpi": 50,
    "robustness.images": 30,
    "baselines.two-layer-fc.epochs": 1,
    "baselines.two-layer-fc.hidden_units": 32,
    "baselines.three-layer-cnn.epochs": 1,
    "finetune.paper.epochs": 1,
    "finetune.paper.weights": "none",
    "finetune.tuned.cache_features": False,
    "finetune.tuned.epochs": 1,
    "finetune.tuned.input_px": 16,
    "finetune.tuned.precision": "fp32",  # as fast as it gets on any processor
    "finetune.tuned.repeats": 0,
    "finetune.tuned.test_flip": False,
    "finetune.tuned.test_shift_px": 0,
    "finetune.tuned.train_from": "conv1",
    "finetune.tuned.weights": "none",
}


def set_value(project: Path, key: str, value: Any) -> None:
    path = project / "params.yaml"
    params = read_params(path)
    section, _, last = key.rpartition(".")
    (get_value(params, section) if section else params)[last] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def keep_models(project: Path, baselines: Sequence[str] = (), finetune: Sequence[str] = ()) -> None:
    """Leave out all other models, with what they left in data."""
    models = {"baselines": [*baselines], "finetune": [*finetune], "averages": {}}
    kept = [*baselines, *finetune]
    dropped = set(read_params(project / "params.yaml")["models"]["evaluate"]) - {*kept}
    for path in (project / "data").glob("*/*"):
        if path.stem in dropped:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    set_value(project, "models", models | {"evaluate": kept})


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def run(project: Path, *command: str) -> str:
    """Run a command in the project; return its output, standard error included."""
    done = subprocess.run(
        command,
        cwd=project,
        env=os.environ | QUICK | {"PATH": find_commands(), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
    return done.stdout


def repro(project: Path, *arguments: str) -> set[str]:
    """Run `dvc repro` and return the stages that ran."""
    output = run(project, "dvc", "repro", *arguments)
    return set(re.findall(r"^Running stage '([^']+)'", output, re.MULTILINE))


def commit(project: Path) -> None:
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "--message", "Record")


def copy_code(folder: Path) -> None:
    """Make a repository of this project's files as they are here, without results."""
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("reports/", "dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "reports").mkdir()
    shutil.copyfile(ROOT / "reports/.gitignore", folder / "reports/.gitignore")
    for key, value in SMALL.items():
        set_value(folder, key, value)
    run(folder, "git", "init", "--quiet")
    for key in ("user.name", "user.email"):
        run(folder, "git", "config", key, "test@example.org")
    commit(folder)


def make_project(folder: Path) -> None:
    """Make a clone with small params, all stages run, and everything committed."""
    copy_code(folder)
    repro(folder)
    commit(folder)


def reset_project(project: Path) -> None:
    """Put the project back to its commit, its data to its cache, and what it knows of its runs."""
    shutil.rmtree(project / "data")  # what another model left there would be a changed dep
    shutil.copytree(project.with_name("kept"), project / KEPT)
    run(project, "git", "checkout", "--quiet", "--", ".")
    shutil.rmtree(project / "photos", ignore_errors=True)  # which git ignores
    run(project, "git", "clean", "--quiet", "--force", "-d", "reports")
    run(project, "git", "clean", "--quiet", "--force", "-x", "sources/weights")
    run(project, "dvc", "checkout", "--quiet", "--force")


def hash_outs(project: Path) -> dict[str, str]:
    """Return the sha256 of every file that equal runs give byte for byte, by path."""
    files = [
        path
        for folder in ("data", "reports")
        for path in (project / folder).rglob("*")
        if path.is_file() and not any(part in DIFFERING for part in path.parts)
    ]
    return {
        str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def find_processes(project: Path) -> list[int]:
    """Return the processes that work in the project, pytest itself apart."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it ended while we looked
            ended = process.status() == psutil.STATUS_ZOMBIE  # init has only to take note of it
            if not ended and process.pid != os.getpid() and process.cwd() == str(project):
                found.append(process.pid)
    return found
