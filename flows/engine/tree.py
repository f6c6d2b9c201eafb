"""Run the pipeline in a tree of its own, so that the user's files and results stay as they are.

A tree is a git worktree with the files as the user sees them and the main tree's DVC settings.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flows.engine.dvc_settings import share_settings
from flows.engine.git import (
    CODE,
    ask,
    clean_environment,
    find_head,
    find_prefix,
    find_top,
    git,
    take_snapshot,
)
from flows.engine.modules import bring_modules
from flows.engine.names import check_branch, find_experiment, hold_git
from flows.engine.overrides import SOURCE
from vision.base.errors import PipelineError
from vision.base.fetch import DOWNLOADS_DIR, MIRROR, is_address
from vision.base.kept import CHECKPOINTS, CHECKPOINTS_DIR
from vision.base.params import PARAMS_FILE, flatten, read_params
from vision.base.variables import read_variable

TREES = Path(".dvc/tmp/trees")  # of runs, by their names
WEIGHTS_DIR = Path("sources/weights")  # as in vision/models/weights.py, which loads torch
FOLDERS = (CHECKPOINTS, MIRROR)  # environment variables that name one


def make_tree(place: Path) -> Path:
    """Make `place` a checkout of HEAD with the files as the user sees them.

    They are those that git tracks, with changes that are not committed, and new code; also in
    submodules.

    Returns:
        The project in it: `place`, or the folder in which the project lies in its repository.
    """
    tree = _add_tree(place, find_head(), take_snapshot())
    with _removed_if_it_fails(place):
        bring_modules(place, find_top())
    return tree


def check_out(place: Path, revision: str) -> Path:
    """Make `place` a checkout of what git knows, or of an experiment, on our DVC cache."""
    find_head()  # git's own words, where it cannot read the project at all
    try:
        known = f"{find_experiment(revision) or revision}^{{commit}}"
        commit = ask("rev-parse", "--verify", "--quiet", "--end-of-options", known)
    except PipelineError:
        where = "see git log and dvc exp show"
        raise PipelineError(
            f"git knows no {revision!r}, nor is it an experiment: {where}"
        ) from None
    return _add_tree(place, commit, commit)


def _add_tree(place: Path, commit: str, content: str) -> Path:
    """Make `place` a worktree at a commit, with the files of another or of a tree object."""
    remove_tree(place)
    tree = place / find_prefix()
    with _removed_if_it_fails(place):
        with hold_git():
            options = ["--quiet", "--force", "--detach", "--no-checkout"]
            git("worktree", "add", *options, str(place.absolute()), commit)
        git("read-tree", "--reset", "-u", content, folder=place)
        if not (tree / ".dvc").is_dir():
            raise PipelineError(f"{commit[:10]} has no DVC project in {find_prefix()}: no .dvc")
        share_settings(tree, Path())
    return tree


@contextmanager
def _removed_if_it_fails(place: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        remove_tree(place)
        raise


def bring_files(tree: Path, root: Path) -> None:
    """Give a tree what stages read of the project and git does not keep: links to it.

    Raises:
        PipelineError: the images are given by a path that leaves the project.
    """
    bring_source(tree, root)
    bring_weights(tree, root)
    bring_downloads(tree, root)


def bring_source(tree: Path, root: Path) -> None:
    """Give a tree the images that git does not keep: a link to those of the project.

    Raises:
        PipelineError: the images are given by a path that leaves the project.
    """
    source = dict(flatten(read_params(tree / PARAMS_FILE))).get(SOURCE)
    if tree == root or not isinstance(source, str):
        return
    path = Path(source)
    if path.is_absolute() or (tree / path).exists() or not (root / path).exists():
        return
    if ".." in path.parts:
        full = (root / path).resolve()
        raise PipelineError(f"{SOURCE} is {source!r}: for a tree of its own write {full}")
    _link(tree / path, root / path)


def bring_weights(tree: Path, root: Path) -> None:
    """Give a tree the user's own weights, which git does not keep: links to the project's."""
    for file in (root / WEIGHTS_DIR).glob("*") if tree != root else ():
        if not (there := tree / WEIGHTS_DIR / file.name).exists():
            _link(there, file)


def bring_downloads(tree: Path, root: Path) -> None:
    """Let a tree find what was downloaded before, and keep what it downloads."""
    there = tree / DOWNLOADS_DIR
    if tree != root and (root / DOWNLOADS_DIR.parent).is_dir() and not there.exists():
        (root / DOWNLOADS_DIR).mkdir(exist_ok=True)
        _link(there, root / DOWNLOADS_DIR)


def _link(there: Path, file: Path) -> None:
    there.parent.mkdir(parents=True, exist_ok=True)
    there.symlink_to(file.resolve())


def remove_tree(place: Path) -> None:
    if place.exists() and not (place / ".git").is_file():
        raise PipelineError(f"{place} is in the way and is no worktree: move it elsewhere")
    with hold_git():
        shutil.rmtree(place, ignore_errors=True)
        with suppress(PipelineError):  # git has none there
            git("worktree", "remove", "--force", "--force", str(place.absolute()))


def save_experiment(tree: Path, name: str) -> None:
    """Keep a tree's code, params, lock and report where DVC looks for experiments.

    `dvc exp save` would stash and check out the tree's files on its way, under the user's
    settings of git: other line ends are other code.
    """
    head = ask("rev-parse", "HEAD", folder=tree)
    commit = _commit(_take_results(tree), [head], f"dvc: commit experiment {name}")
    ask("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", commit)


def read_saved(name: str, path: str) -> str:
    """Return a file as an experiment recorded it."""
    if commit := find_experiment(name):
        return git("show", f"{commit}:./{path}").decode()
    raise PipelineError(f"there is no experiment {name}: see dvc exp show")


def read_head(path: Path) -> bytes:
    """Return a file as the last commit has it; nothing if it has none."""
    try:
        return git("show", f"HEAD:./{path}")
    except PipelineError:
        return b""


def publish(tree: Path, branch: str, subject: str) -> str:
    """Commit a tree's files, params.yaml, dvc.lock and reports/ as they are now, to a branch.

    Code that the user has not committed is part of it: the commit gives what its dvc.lock says.
    Its parents are the tree's HEAD and the branch as it was, so nothing is lost and no one's
    checkout moves.

    Returns:
        The commit, or "" where the branch has these very files already.

    Raises:
        PipelineError: a worktree has the branch checked out.
    """
    reference = f"refs/heads/{branch}"
    head = ask("rev-parse", "HEAD", folder=tree)
    check_branch(branch, head)
    content = _take_results(tree)
    tips = ask("for-each-ref", "--format=%(objectname) %(tree)", reference).split()
    if content in tips:
        return ""
    commit = _commit(content, [head, *tips[:1]], subject)
    ask("update-ref", reference, commit, *tips[:1])
    return commit


def _commit(content: str, parents: list[str], subject: str) -> str:
    chosen = [argument for parent in dict.fromkeys(parents) for argument in ("-p", parent)]
    return ask("commit-tree", content, *chosen, "-m", subject)


def _take_results(tree: Path) -> str:
    return take_snapshot(tree, (*CODE, "reports"))


def list_uncommitted(tree: Path) -> list[str]:
    """Return the files of a fresh tree that differ from the commit it is at."""
    names = git("diff-index", "--cached", "--name-only", "-z", "HEAD", folder=tree)
    return [name for name in os.fsdecode(names).split("\0") if name]


def run_dvc(tree: Path, *arguments: str, show: bool = False) -> None:
    """Run dvc in `tree`, quietly or as if its command had been typed.

    Raises:
        PipelineError: with DVC's own words, unless they were shown already.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=tree,
        env=make_environment(),
        capture_output=not show,
        text=True,
        check=False,
    )
    if done.returncode:
        said = "" if show else done.stdout + done.stderr
        errors = re.findall(r"^ERROR: (.*)", said, re.MULTILINE)
        why = "; ".join(errors) or f"status {done.returncode}"
        raise PipelineError(f"dvc {' '.join(arguments)} failed: {why}")


def make_environment() -> dict[str, str]:
    """Return our environment, in which `python` in a stage's command is this Python.

    A tree goes when its run ends, however it ends: checkpoints stay in the main tree. Paths that
    are given relative to it are so wherever a stage runs.
    """
    environment = clean_environment()
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    folders = {CHECKPOINTS: str(CHECKPOINTS_DIR.absolute())}
    for key in FOLDERS:
        if (value := read_variable(key)) is not None:
            is_path = value and not is_address(value)
            folders[key] = str(Path(value).expanduser().absolute()) if is_path else value
    return environment | folders | {"PATH": path}
