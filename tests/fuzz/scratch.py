"""Any state of the project computed from nothing: no DVC, no cache, nothing kept.

Runs are remembered by the bytes that they really read, whatever dvc.yaml says that they read.
"""

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz import READS
from tests.fuzz.stages import Stage, list_files, md5, read_stages
from tests.warm import find_commands
from vision.base.kept import CHECKPOINTS

CODE = ("stages", "vision", "sources", "pictures", "more-photos", "params.yaml", "dvc.yaml")
APART = (
    "params.yaml",
    "dvc.yaml",
    "dvc.lock",
    ".dvc/",
    ".git/",
    "data/checkpoints",
    "data/unfinished",
    "tests/",
)


class StageError(Exception):
    """A stage fails in this state, also from nothing; holds its output."""


@dataclass
class Reading:
    """What a run read."""

    files: dict[str, str]  # MD5 by path
    folders: dict[str, list[str]]  # names by path


@dataclass
class Result:
    reading: Reading
    outs: dict[str, str] = field(default_factory=dict)  # MD5 by path


class Scratch:
    """Computes states in folders of its own, and remembers runs in a folder that may be shared."""

    def __init__(self, memory: Path) -> None:
        self.memory = memory
        self.computed = 0

    def compute(self, project: Path) -> dict[str, Result]:
        """Return what each stage reads and gives.

        Raises:
            StageError: one fails.
        """
        tree = Path(tempfile.mkdtemp(prefix="scratch-", dir=self.memory.parent))
        try:
            for name in CODE:
                if (project / name).exists():
                    copy = shutil.copytree if (project / name).is_dir() else shutil.copyfile
                    copy(project / name, tree / name)  # type: ignore[operator]
            return {stage.name: self._run(stage, tree) for stage in read_stages(project)}
        finally:
            shutil.rmtree(tree)

    def _run(self, stage: Stage, tree: Path) -> Result:
        place = self.memory / stage.name
        for notes in sorted(place.glob("*/notes.json")):
            entry = _read(notes)
            if entry["asked"] == _ask(stage) and _fits(entry, tree):
                shutil.copytree(notes.parent / "outs", tree, dirs_exist_ok=True)
                return _get_result(entry)
        entry = self._compute(stage, tree)
        unfinished = Path(tempfile.mkdtemp(dir=self.memory))
        for path in entry["outs"]:
            (unfinished / "outs" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(tree / path, unfinished / "outs" / path)
        (unfinished / "notes.json").write_text(json.dumps(entry))
        place.mkdir(exist_ok=True)
        unfinished.rename(place / unfinished.name)
        return _get_result(entry)

    def _compute(self, stage: Stage, tree: Path) -> dict[str, Any]:
        self.computed += 1
        reads = tree / ".reads.json"
        environment = os.environ | {"PATH": find_commands(), CHECKPOINTS: "", READS: str(reads)}
        done = subprocess.run(
            stage.cmd.split(),
            cwd=tree,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StageError(f"{stage.name}: {done.stdout}")
        noted = json.loads(reads.read_text())
        files = [path for path in noted["files"] if _counts(path, stage, tree)]
        folders = [path for path in noted["folders"] if _counts(path, stage, tree)]
        return {
            "asked": _ask(stage),
            "files": {path: md5(tree / path) for path in files},
            "folders": {path: _list_names(tree / path) for path in folders},
            "outs": list_files(tree, stage.outs),
        }


@cache
def _read(notes: Path) -> dict[str, Any]:
    """Return what is remembered of a run; it is never changed."""
    return dict(json.loads(notes.read_text()))


def _ask(stage: Stage) -> str:
    return f"{stage.cmd} {stage.params!r}"


def _fits(entry: dict[str, Any], tree: Path) -> bool:
    files, folders = entry["files"].items(), entry["folders"].items()
    return all(md5(tree / path) == value for path, value in files) and all(
        _list_names(tree / path) == names for path, names in folders
    )


def _get_result(entry: dict[str, Any]) -> Result:
    return Result(Reading(entry["files"], entry["folders"]), entry["outs"])


def _list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _counts(path: str, stage: Stage, tree: Path) -> bool:
    """Say whether a path is an input: neither an out, nor a package's empty file, nor gone."""
    is_own = any(f"{path}/".startswith(f"{out}/") for out in stage.outs)
    is_package = path.endswith("__init__.py") or "__pycache__" in path
    return not (is_own or is_package or path.startswith(APART)) and (tree / path).exists()
