"""The files of a tree, carried to other clones by a reference of git's.

refs/pipeline/RUN/STAGE    RUN is the sender's flow run
"""

from pathlib import Path

from flows.engine.git import ask, git
from flows.engine.names import make_name
from vision.base.errors import PipelineError

REFS = "refs/pipeline"
USUAL = "origin"
NOBODY = ("-c", "user.name=pipeline", "-c", "user.email=pipeline@localhost")
QUIETLY = ("--quiet", "--no-tags", "--no-write-fetch-head")  # how git is to fetch


def push_tree(tree: Path, content: str, reference: str) -> str:
    """Commit a tree object on top of HEAD, push it, and return the commit.

    Raises:
        PipelineError: there is no remote, or it does not take it.
    """
    commit = ask(*NOBODY, "commit-tree", content, "-p", "HEAD", "-m", reference, folder=tree)
    git("push", "--quiet", find_remote(tree), f"{commit}:{reference}", folder=tree)
    return commit


def try_to_push() -> None:
    """See that git's remote would take a reference, and send nothing.

    Raises:
        PipelineError: there is no remote, or it does not take it.
    """
    git("push", "--quiet", "--dry-run", find_remote(), f"HEAD:{name_reference('', 'plan')}")


def drop_reference(reference: str) -> None:
    """Have the remote forget a reference."""
    git("push", "--quiet", find_remote(), f":{reference}")


def fetch_tree(reference: str) -> None:
    """Fetch what another clone has pushed.

    Raises:
        PipelineError: the remote cannot be reached, or the reference is gone.
    """
    git("fetch", *QUIETLY, find_remote(), reference)


def list_references() -> list[str]:
    """Return the references that senders have with git's remote; none where there is no remote."""
    if not ask("remote"):
        return []
    lines = ask("ls-remote", find_remote(), f"{REFS}/*").splitlines()
    return [line.partition("\t")[2] for line in lines]


def name_reference(run: str, stage: str) -> str:
    """Return the reference by which a flow run sends a tree for a stage."""
    return f"{REFS}/{run or 'none'}/{make_name(stage)}"


def find_sender(reference: str) -> str:
    """Return the flow run that has sent a reference."""
    return reference.removeprefix(f"{REFS}/").partition("/")[0]


def find_remote(tree: Path = Path()) -> str:
    """Return git's remote that all clones share: the only one, or `origin`.

    Raises:
        PipelineError: there is none.
    """
    names = ask("remote", folder=tree).splitlines()
    if len(names) == 1:
        return names[0]
    if USUAL in names:
        return USUAL
    raise PipelineError(f"git has no remote {USUAL} to carry code by: git remote add {USUAL} URL")
