"""Which trees are in use: each run holds a lock on the name of its tree for as long as it lives.

A run that waits, for the GPU or for a server, has no process in its tree. The system gives the lock
back when the run's process ends, however it ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vision.base.errors import PipelineError


@contextmanager
def claim(tree: Path) -> Iterator[None]:
    """Hold a tree of .dvc/tmp while the block lasts.

    Raises:
        PipelineError: a run that lives has it.
    """
    try:
        with _make_lock(tree).acquire(timeout=0):
            yield
    except Timeout:
        name = tree.name
        raise PipelineError(f"a run named {name} is at work: give another --name") from None


def is_claimed(tree: Path) -> bool:
    """Say whether a run that lives holds a tree."""
    try:
        with _make_lock(tree).acquire(timeout=0):
            return False
    except Timeout:
        return True


def _make_lock(tree: Path) -> FileLock:
    path = tree.parent.parent / "claims" / f"{tree.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, thread_local=False)
