"""Names of runs, experiments and branches: in git's form, and no two at once.

A name is held while its run lives: a lock of the system, which goes with the process.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from flows.engine.git import ask, find_head, find_shared, git, list_checked_out
from flows.engine.modules import check_modules
from vision.base.errors import PipelineError


def check_free(
    name: str | None = None, publish: str | None = None, *, replace: bool = False
) -> None:
    """Check what a run in a tree of its own needs of git, before anything runs.

    Args:
        name: of its experiment; None where it is not chosen yet.
        publish: the branch that it is to be published to.
        replace: an experiment of that name may go.

    Raises:
        PipelineError: with git's words or the thing that is in the way, and the way out.
    """
    head = find_head()
    check_identity()
    if name is not None:
        check_name(name)
        if is_running(name):
            raise PipelineError(f"a run named {name} is at work: take another --name, or wait")
        if not replace and find_experiment(name):
            way_out = f"take another --name, or --replace, or dvc exp remove {name}"
            raise PipelineError(f"there is an experiment {name}: {way_out}")
    if publish is not None:
        check_branch(publish, head)
        check_modules()


def make_name(text: str) -> str:
    """Return a text as a name that git and DVC take."""
    return re.sub(r"[^\w-]+", "-", text)


def check_name(name: str) -> None:
    """Refuse what is not a name of one file and of one part of a git reference."""
    if "/" in name or name.startswith("-") or not _is_reference(f"refs/exps/00/{name}"):
        form = "letters, digits, - and _ will do"
        raise PipelineError(f"--name {name!r} is no name that git and DVC take: {form}")


def check_branch(branch: str, commit: str) -> None:
    """Refuse a branch that git would not make, or that someone has checked out."""
    reference = f"refs/heads/{branch}"
    if branch.startswith("-") or not _is_reference(reference):
        form = "write it without blanks, such as nightly"
        raise PipelineError(f"--publish {branch!r} is no name of a branch: {form}")
    if folder := list_checked_out().get(branch):
        why = "its next commit there would undo what is published"
        raise PipelineError(f"{branch} is checked out in {folder}, and {why}: take another branch")
    trial = f"start\nupdate {reference} {commit}\nprepare\nabort\n"  # changes nothing
    git("update-ref", "--stdin", given=trial.encode())


def find_experiment(name: str) -> str:
    """Return the commit of an experiment, or nothing."""
    for line in ask("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines():
        commit, _, reference = line.partition(" ")
        if reference.rpartition("/")[2] == name:
            return commit
    return ""


@contextmanager
def hold_name(name: str) -> Iterator[None]:
    """Keep others from running under a name while the block lasts.

    Raises:
        PipelineError: another run has it.
    """
    lock = _lock(name)
    try:
        lock.acquire()
    except Timeout:
        raise PipelineError(f"a run named {name} is at work: take another --name") from None
    try:
        yield
    finally:
        lock.release()


def is_running(name: str) -> bool:
    """Say whether a living run has this name."""
    try:
        with _lock(name):
            return False
    except Timeout:
        return True


def hold_git() -> FileLock:
    """Return a lock for the list of worktrees: git trips over one that another is adding."""
    return FileLock(find_shared("git.lock"))


def _lock(name: str) -> FileLock:
    return FileLock(find_shared(f"{name}.run.lock"), timeout=0)


def _is_reference(reference: str) -> bool:
    try:
        git("check-ref-format", reference)
    except PipelineError:
        return False
    return True


def check_identity() -> None:
    """Raise a PipelineError if git would not commit for want of a name or an address."""
    try:
        for role in ("AUTHOR", "COMMITTER"):
            git("var", f"GIT_{role}_IDENT")
    except PipelineError:
        way_out = "git config user.name NAME; git config user.email ADDRESS"
        raise PipelineError(f"git does not know who commits: {way_out}") from None
