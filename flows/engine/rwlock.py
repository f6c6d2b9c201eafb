"""The file in which DVC notes who reads and writes each path, without what killed ones left in it.

The notes in .dvc/tmp/rwlock are process numbers, which may belong to another process by now, or to
one on another machine that shares the disk.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from dvc.lock import LockError, make_lock

from vision.base.files import write_text

TMP = Path(".dvc/tmp")
RWLOCK = TMP / "rwlock"
START_TOLERANCE_S = 1.0  # between the clocks of the file system and of the process table


def find_stale(tree: Path = Path()) -> set[str]:
    """Return the numbers of the processes in the file that are no more."""
    rwlock = tree / RWLOCK
    return _sort_out(rwlock)[1] if rwlock.exists() else set()


def remove_stale(tree: Path = Path()) -> None:
    """Remove what ended processes left in the file.

    Raises:
        LockError: a DVC is writing the file.
    """
    with hold_guard("rwlock.lock", tree):
        live, stale = _sort_out(tree / RWLOCK)  # here: until now a DVC may have been writing it
        if stale:
            write_text(tree / RWLOCK, json.dumps(live))


def mend_rwlock(tree: Path = Path()) -> None:
    """Remove what ended processes left in the file, if there is anything and no DVC writes it."""
    with suppress(LockError):
        if find_stale(tree):
            remove_stale(tree)


@contextmanager
def hold_guard(name: str, tree: Path = Path()) -> Iterator[None]:
    """Hold one of DVC's own locks, of the kind that its configuration says."""
    with make_lock(str(tree / TMP / name), tmp_dir=str(tree / TMP)):
        yield


def is_stale(info: dict[str, Any], written: float) -> bool:
    """Say whether the process of an entry, written down at that time, is gone.

    A process with its number is another one if it started later or has another command.
    """
    try:
        process = psutil.Process(int(info["pid"]))
        arguments = str(info["cmd"]).partition(" ")[2]
        started_later = process.create_time() > written + START_TOLERANCE_S
        return started_later or not " ".join(process.cmdline()).endswith(arguments)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _sort_out(rwlock: Path) -> tuple[dict[str, Any], set[str]]:
    """Return the entries of processes that live, and the numbers of those that do not."""
    written = rwlock.stat().st_mtime
    try:
        entries = json.loads(rwlock.read_text())
        stale = {str(info["pid"]) for info in _list_holders(entries) if is_stale(info, written)}
        return _drop_stale(entries, written), stale
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"write": {}, "read": {}}, {"none: DVC cannot read the file"}


def _list_holders(entries: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from entries.get("write", {}).values()
    for readers in entries.get("read", {}).values():
        yield from readers


def _drop_stale(entries: dict[str, Any], written: float) -> dict[str, Any]:
    write = {
        path: info for path, info in entries.get("write", {}).items() if not is_stale(info, written)
    }
    read = {
        path: [info for info in readers if not is_stale(info, written)]
        for path, readers in entries.get("read", {}).items()
    }
    return {"write": write, "read": {path: readers for path, readers in read.items() if readers}}
