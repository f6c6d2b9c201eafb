"""Run the pipeline in a tree of its own, so that the user's files and results stay as they are.

A tree is a git worktree with the user's uncommitted changes and the main tree's DVC cache.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from configobj import ConfigObj
from filelock import FileLock

from flows.engine.overrides import SOURCE
from vision.base.errors import PipelineError
from vision.base.kept import CHECKPOINTS, CHECKPOINTS_DIR
from vision.base.params import PARAMS_FILE, flatten, read_params
from vision.base.variables import read_variable


def make_tree(tree: Path) -> None:
    """Make `tree` a fresh checkout of HEAD plus the tracked changes that are not committed."""
    check_out(tree, "HEAD")
    changes = _git("diff", "--binary", "HEAD")
    if changes:
        _git("-C", str(tree), "apply", "--whitespace=nowarn", "-", given=changes)


def check_out(tree: Path, revision: str) -> None:
    """Make `tree` a fresh checkout of what git knows, or of an experiment, on our DVC cache."""
    remove_tree(tree)
    try:
        known = f"{find_experiment(revision) or revision}^{{commit}}"
        commit = _git("rev-parse", "--verify", "--quiet", known).decode().strip()
    except PipelineError:
        where = "see git log and dvc exp show"
        raise PipelineError(
            f"git knows no {revision!r}, nor is it an experiment: {where}"
        ) from None
    with _hold_git():
        _git("worktree", "add", "--quiet", "--detach", str(tree), commit)
    set_local_option(tree, "cache", "dir", str(Path(".dvc/cache").resolve()))
    keep_site_cache(tree)


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
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).symlink_to((root / path).resolve())


def keep_site_cache(tree: Path) -> None:
    """Have DVC keep its index in the tree, out of other users' reach, not under /var/tmp.

    It is a database of pickles, which whoever can write it makes run what they like.
    """
    folder = tree.absolute() / ".dvc/tmp/site"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    set_local_option(tree, "core", "site_cache_dir", str(folder))


def set_local_option(tree: Path, section: str, key: str, value: str) -> None:
    """Set an option in .dvc/config.local, as DVC does but for letters outside ASCII."""
    config = ConfigObj(str(tree / ".dvc/config.local"), encoding="utf-8")
    config.setdefault(section, {})[key] = value
    config.write()


def remove_tree(tree: Path) -> None:
    if tree.exists() and not (tree / ".git").is_file():
        raise PipelineError(f"{tree} is in the way and is no worktree: move it elsewhere")
    with _hold_git():
        shutil.rmtree(tree, ignore_errors=True)
        _git("worktree", "prune")


def _hold_git() -> FileLock:
    """Return a lock for what the trees share of git.

    Git prunes a worktree that another process is adding; of two `dvc exp save` at once one fails.
    """
    lock = Path(".dvc/tmp/git.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(lock)


def save_experiment(tree: Path, name: str) -> None:
    """Record a tree's params, lock and report; the main tree's `dvc exp show` lists them."""
    untracked = ["--include-untracked", "reports"] * (tree / "reports").is_dir()
    with _hold_git():
        run_dvc(tree, "exp", "save", "--quiet", "--force", "--name", name, *untracked)


def read_saved(name: str, path: str) -> str:
    """Return a file as an experiment recorded it."""
    if commit := find_experiment(name):
        return _git("show", f"{commit}:{path}").decode()
    raise PipelineError(f"there is no experiment {name}: see dvc exp show")


def find_experiment(name: str) -> str:
    """Return the commit of an experiment, or nothing."""
    listed = _git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").decode()
    for line in listed.splitlines():
        commit, _, reference = line.partition(" ")
        if reference.rpartition("/")[2] == name:
            return commit
    return ""


def read_head(path: Path) -> bytes:
    """Return a file as the last commit has it; nothing if it has none."""
    try:
        return _git("show", f"HEAD:{path}")
    except PipelineError:
        return b""


def publish(tree: Path, branch: str, subject: str) -> str:
    """Commit a tree's params.yaml, dvc.lock and reports/ to a branch, on top of what is there.

    The commit's parents are the tree's HEAD and the branch as it was, so nothing is lost and no
    one's checkout moves.

    Returns:
        The commit, or "" where the branch has these very files already.
    """
    reference = f"refs/heads/{branch}"
    _git("-C", str(tree), "add", "params.yaml", "dvc.lock", "reports")
    content = _git("-C", str(tree), "write-tree").decode().strip()
    tips = _git("for-each-ref", "--format=%(objectname) %(tree)", reference).decode().split()
    if content in tips:
        return ""
    parents = dict.fromkeys(
        [_git("-C", str(tree), "rev-parse", "HEAD").decode().strip(), *tips[:1]]
    )
    chosen = [argument for parent in parents for argument in ("-p", parent)]
    commit = _git("commit-tree", content, *chosen, "-m", subject).decode().strip()
    _git("update-ref", reference, commit, *tips[:1])
    return commit


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

    A tree goes when its run ends, however it ends: checkpoints stay in the main tree.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = read_variable(CHECKPOINTS)
    ours = {CHECKPOINTS: str(CHECKPOINTS_DIR.absolute()) if kept is None else kept}
    return os.environ | ours | {"PATH": path}


def _git(*arguments: str, given: bytes = b"") -> bytes:
    done = subprocess.run(["git", *arguments], input=given, capture_output=True, check=False)
    if done.returncode:
        raise PipelineError(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
