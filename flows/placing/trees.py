"""The files of a tree as its user sees them, carried to other clones.

They go by git's remote or, where it takes none, in a bundle beside the objects in DVC's remote.
PIPELINE_TREES=git or =bundle leaves no choice.
"""

import os
from pathlib import Path

from flows.engine.git import ask, git, take_snapshot
from flows.engine.modules import list_modules
from flows.engine.patience import Tell
from flows.placing.bundles import drop_bundle, fetch_bundle, name_bundle, send_bundle
from flows.placing.objects import Store, open_store
from flows.placing.orders import Order
from flows.placing.refs import drop_reference, fetch_tree, find_remote, push_tree, try_to_push
from vision.base.errors import PipelineError

CARRIER = "PIPELINE_TREES"  # environment variable
GIT, BUNDLE = "git", "bundle"


def send_tree(store: Store, tree: Path, reference: str, tell: Tell) -> tuple[str, bool]:
    """Commit a tree's files, changed and new ones too, and send them.

    Returns:
        The commit, and whether it goes in a bundle.

    Raises:
        PipelineError: no remote takes them; the tree has submodules.
    """
    top = Path(ask("rev-parse", "--show-toplevel", folder=tree))
    if modules := list_modules(top):
        raise PipelineError(f"{modules[0]} is a submodule: stages of such a project run at home")
    content, carrier = take_snapshot(tree), read_carrier()
    if carrier != BUNDLE:
        try:
            return push_tree(tree, content, reference), False
        except PipelineError as error:
            if carrier == GIT:
                raise
            tell(describe_bundle(error))
    return send_bundle(store, tree, content, reference), True


def drop_tree(store: Store, order: Order) -> None:
    """Have the remote forget what was sent."""
    if order.bundled:
        drop_bundle(store, name_bundle(order.reference))
    else:
        drop_reference(order.reference)


def bring_tree(order: Order) -> None:
    """Fetch what another clone has sent, unless it is here.

    Raises:
        PipelineError: the remote cannot be reached, or has it no more.
    """
    if _has(order.commit):
        return
    if order.bundled:
        with open_store(Path()) as store:
            fetch_bundle(store, order.reference)
    else:
        fetch_tree(order.reference)


def _has(commit: str) -> bool:
    try:
        git("cat-file", "-e", f"{commit}^{{commit}}")
    except PipelineError:
        return False
    return True


def describe_way() -> str:
    """Say how the project's files would go to other clones.

    Raises:
        PipelineError: PIPELINE_TREES leaves no choice but git's remote, which takes none.
    """
    carrier = read_carrier()
    if carrier == BUNDLE:
        return describe_bundle(f"{CARRIER} is {BUNDLE}")
    try:
        try_to_push()
    except PipelineError as error:
        if carrier == GIT:
            raise
        return describe_bundle(error)
    return f"the code goes by git's remote {find_remote()}"


def describe_bundle(why: object) -> str:
    return f"the code goes in a bundle beside the objects in DVC's remote ({why})"


def read_carrier() -> str:
    """Return how trees have to go; nothing where that is left to us.

    Raises:
        PipelineError: there is no such way.
    """
    carrier = os.environ.get(CARRIER, "")
    if carrier not in ("", GIT, BUNDLE):
        raise PipelineError(f"{CARRIER} is {carrier!r}: set it to {GIT} or {BUNDLE}, or unset it")
    return carrier
