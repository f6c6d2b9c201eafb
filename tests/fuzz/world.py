"""A small project of the fuzz: two models, 60 pictures; its copies, and what ran there."""

import os
import re
import shutil
import subprocess
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from PIL import Image

from tests.fuzz.scratch import Reading, Scratch
from tests.fuzz.stages import Stage, md5
from tests.projects import ROOT, commit, run, set_value
from tests.warm import find_commands

SMALL: dict[str, Any] = {
    "models": {
        "baselines": ["two-layer-fc"],
        "finetune": ["paper"],
        "averages": {},
        "evaluate": ["two-layer-fc", "paper"],
    },
    "data.source": "pictures",
    "data.image_px": 16,
    "explain.images": 1,
    "plot.dpi": 50,
    "robustness.images": 6,
    "baselines.two-layer-fc.epochs": 1,
    "baselines.two-layer-fc.hidden_units": 8,
    "finetune.paper.epochs": 1,
    "finetune.paper.weights": "none",
}
PER_CLASS = 20
KEPT = ("stages/", "vision/", "data/", "sources/weights/", "dvc.yaml", "params.yaml", ".dvc")
LINKED = (".git/objects", ".dvc/cache/files", "data")  # never written in place


class Inputs(NamedTuple):
    """What decides a run. Params compare as DVC compares them: 1, 1.0 and true are equal."""

    cmd: str
    params: dict[str, Any]
    files: dict[str, str]  # MD5 by path
    folders: dict[str, list[str]]  # names by path


class Record(NamedTuple):
    """A run that something remembers."""

    stage: str
    inputs: Inputs
    entry: dict[str, Any]  # as it is in dvc.lock


@dataclass
class World:
    """A project, and what is remembered of its runs."""

    home: Path
    project: Path
    scratch: Scratch
    entries: list[Record] = field(default_factory=list)  # that dvc.lock had at any time
    runs: list[Record] = field(default_factory=list)  # in the run cache, the newest last
    texts: dict[str, bytes] = field(default_factory=dict)  # to go back to

    @property
    def cache(self) -> Path:
        """The folder of DVC's cache: of this clone, or one that it shares."""
        path = self.project / ".dvc/config.local"
        shared = re.search(r"^\s*dir = (.*)$", path.read_text(), re.M) if path.exists() else None
        return (self.project / ".dvc" / (shared[1] if shared else "cache")).resolve()

    def read_lock(self) -> dict[str, dict[str, Any]]:
        path = self.project / "dvc.lock"
        return yaml.load(path.read_bytes(), yaml.CSafeLoader)["stages"] if path.exists() else {}

    def copy(self, home: Path) -> "World":
        """Return a world of one's own that starts from this one."""
        home.mkdir(parents=True)
        shutil.copytree(
            self.project, home / "project", symlinks=True, copy_function=_copy_or_link(self.project)
        )
        return World(
            home,
            home / "project",
            Scratch(self.scratch.memory),
            list(self.entries),
            list(self.runs),
            texts=deepcopy(self.texts),
        )


class Done(NamedTuple):
    status: int
    output: str


def run_dvc(project: Path, *arguments: str) -> Done:
    done = subprocess.run(
        ["dvc", *arguments],
        cwd=project,
        env=os.environ | {"PATH": find_commands()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Done(done.returncode, done.stdout)


def make_world(home: Path) -> World:
    """Make the project, with nothing run yet."""
    project = home / "project"
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        kept = name.startswith(KEPT)
        if (kept or name.endswith(".gitignore")) and (ROOT / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, project / name)
    make_photos(project / "pictures")
    for key, value in SMALL.items():
        set_value(project, key, value)
    run(project, "git", "init", "--quiet")
    for key in ("user.name", "user.email"):
        run(project, "git", "config", key, "test@example.org")
    commit(project)
    (home / "memory").mkdir()
    return World(home, project, Scratch(home / "memory"))


def make_photos(folder: Path) -> None:
    """Make noise in three shades, 16 pixels wide."""
    rng = np.random.default_rng(0)
    for channel, label in enumerate(("red", "green", "blue")):
        (folder / label).mkdir(parents=True)
        for number in range(PER_CLASS):
            pixels = rng.integers(0, 150, (16, 16, 3), dtype=np.uint8)
            pixels[:, :, channel] += 80
            Image.fromarray(pixels).save(folder / label / f"{number}.png")


def read_texts(project: Path) -> dict[str, bytes]:
    """Return all that a change may edit: params, code, photos."""
    folders = [project / name for name in ("stages", "vision", "pictures", "more-photos")]
    files = [project / "params.yaml", *(file for each in folders for file in each.rglob("*"))]
    return {
        str(file.relative_to(project)): file.read_bytes()
        for file in files
        if file.is_file() and "__pycache__" not in file.parts
    }


def write_texts(project: Path, texts: dict[str, bytes]) -> None:
    """Put params, code and photos back; leave those alone that are the same."""
    now = read_texts(project)
    for name in now.keys() - texts.keys():
        (project / name).unlink()
    for name, content in texts.items():
        if now.get(name) != content:
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_bytes(content)


def note_inputs(stage: Stage, reading: Reading, project: Path) -> Inputs:
    """Return what a stage reads, with the bytes that the project has now."""
    folders = {
        path: sorted(file.name for file in (project / path).iterdir())
        for path in reading.folders
        if (project / path).is_dir()
    }
    files = {path: md5(project / path) for path in reading.files}
    return Inputs(stage.cmd, stage.params, files, folders)


def _copy_or_link(project: Path) -> Any:
    def copy(source: str, target: str) -> str:
        name = os.path.relpath(source, project)
        if name.startswith(LINKED):
            os.link(source, target)
        else:
            shutil.copy2(source, target)
        return target

    return copy
