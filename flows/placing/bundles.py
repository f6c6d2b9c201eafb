"""The files of a tree in a bundle of git's beside the objects, for clones that share no git remote.

trees/RUN.STAGE.bundle    in the folder of DVC's remote: one commit without parents, so that a
                          clone can take it whatever it has; RUN is the sender's flow run
"""

import tempfile
from pathlib import Path

from flows.engine.git import ask, find_git_path, git
from flows.placing.objects import RefusedError, Store
from flows.placing.refs import NOBODY, QUIETLY, REFS
from flows.placing.shelves import Shelf

FOLDER = "trees"
SUFFIX = ".bundle"


def send_bundle(store: Store, tree: Path, content: str, reference: str) -> str:
    """Commit a tree object, send a bundle of that, and return the commit.

    Raises:
        PipelineError: the remote does not take it.
    """
    commit = ask(*NOBODY, "commit-tree", content, "-m", reference, folder=tree)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bundle")
        write_bundle(tree, commit, reference, path)
        Shelf(store, FOLDER).put(path, name_bundle(reference))
    return commit


def write_bundle(tree: Path, commit: str, reference: str, path: Path) -> None:
    """Write a bundle in which a commit has the name of a reference.

    Bundles are made of references. This one is in a repository of its own, which has the objects
    of the tree's: none is left behind in the user's.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        git("init", "--quiet", "--bare", "--template=", folder=folder)
        objects = find_git_path("objects", tree).absolute()
        (folder / "objects/info").mkdir(exist_ok=True)
        (folder / "objects/info/alternates").write_text(f"{objects}\n")
        git("update-ref", reference, commit, folder=folder)
        options = ("-c", "pack.window=0")  # a quarter of the time, for hardly a byte more
        git(*options, "bundle", "create", "--quiet", str(path.absolute()), reference, folder=folder)


def fetch_bundle(store: Store, reference: str) -> None:
    """Fetch the bundle that another clone has sent, and take what is in it.

    Raises:
        RefusedError: it is not there, or damaged.
        PipelineError: the remote cannot be reached.
    """
    name, shelf = name_bundle(reference), Shelf(store, FOLDER)
    if name not in shelf.list():
        raise RefusedError(f"{shelf.folder} has no {name}: its sender has taken it away")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bundle")
        shelf.get(name, path)
        git("fetch", *QUIETLY, str(path), reference)


def list_bundles(store: Store) -> list[str]:
    """Return the names of the bundles that senders have with DVC's remote, unfinished ones too."""
    return Shelf(store, FOLDER).list()


def drop_bundle(store: Store, name: str) -> None:
    """Have DVC's remote forget a bundle."""
    Shelf(store, FOLDER).drop(name)


def name_bundle(reference: str) -> str:
    """Return the name of the bundle that has a reference."""
    return reference.removeprefix(f"{REFS}/").replace("/", ".") + SUFFIX


def find_sender(name: str) -> str:
    """Return the flow run that has sent a bundle."""
    return name.partition(".")[0]
