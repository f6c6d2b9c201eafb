"""Run the pipeline in a tree of its own, so that the user's files and results stay as they are.

A tree is a git worktree with the user's uncommitted changes and the main tree's DVC cache.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from vision.errors import PipelineError
from vision.params import get_value, read_params


def make_tree(tree: Path) -> None:
    """Make `tree` a fresh checkout of HEAD plus the tracked changes that are not committed."""
    remove_tree(tree)
    _git("worktree", "add", "--quiet", "--detach", str(tree), "HEAD")
    changes = _git("diff", "--binary", "HEAD")
    if changes:
        _git("-C", str(tree), "apply", "--whitespace=nowarn", "-", given=changes)
    cache = Path(".dvc/cache").resolve()
    run_dvc(tree, "cache", "dir", "--quiet", "--local", str(cache))


def remove_tree(tree: Path) -> None:
    if tree.exists() and not (tree / ".git").is_file():
        raise PipelineError(f"{tree} is in the way and is no worktree: move it elsewhere")
    shutil.rmtree(tree, ignore_errors=True)
    _git("worktree", "prune")


def set_params(tree: Path, overrides: dict[str, Any]) -> None:
    """Overwrite values of existing keys in the tree's params.yaml."""
    path = tree / "params.yaml"
    params = read_params(path)
    for key, value in overrides.items():
        get_value(params, key)
        section, _, last = key.rpartition(".")
        (get_value(params, section) if section else params)[last] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def run_dvc(tree: Path, *arguments: str) -> None:
    """Run dvc in `tree`, its output going to ours; `python` in a command is this Python."""
    command = [sys.executable, "-m", "dvc", *arguments]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    status = subprocess.run(
        command, cwd=tree, env=os.environ | {"PATH": path}, check=False
    ).returncode
    if status:
        raise PipelineError(f"dvc {' '.join(arguments)} failed with status {status}; see above")


def _git(*arguments: str, given: bytes = b"") -> bytes:
    done = subprocess.run(["git", *arguments], input=given, capture_output=True, check=False)
    if done.returncode:
        raise PipelineError(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
