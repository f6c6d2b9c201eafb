"""Submodules: git leaves them empty in a tree of its own; here they get what their user sees."""

import os
import tempfile
from pathlib import Path

from flows.engine.git import ask, find_top, git, take_snapshot
from vision.base.errors import PipelineError

MODULE = b"160000 "  # with which git's list begins the entry of a submodule


def bring_modules(place: Path, top: Path) -> None:
    """Fill the submodules of a tree, and those within them.

    Args:
        place: the tree.
        top: the worktree that it was made of.
    """
    for path in list_modules(top):
        with tempfile.TemporaryDirectory() as folder:
            index = Path(folder, "index")
            git("read-tree", take_snapshot(top / path), folder=top / path, index=index)
            there = f"--prefix={(place / path).absolute()}/"
            git("checkout-index", "--all", there, folder=top / path, index=index)
        bring_modules(place / path, top / path)


def check_modules() -> None:
    """Raise PipelineError if a submodule has changes that no commit of it has."""
    top = find_top()
    for path in list_modules(top):
        if take_snapshot(top / path) != ask("rev-parse", "HEAD^{tree}", folder=top / path):
            what = f"the submodule {path} has what is not committed"
            raise PipelineError(f"{what}, and a publication would lack it: commit it there")


def list_modules(top: Path) -> list[Path]:
    """Return where a worktree has submodules that are checked out."""
    entries = git("ls-files", "--stage", "-z", folder=top).split(b"\0")
    paths = [Path(os.fsdecode(e.partition(b"\t")[2])) for e in entries if e.startswith(MODULE)]
    return [path for path in paths if (top / path / ".git").exists()]
