"""Find what ended processes left in the way of the next run, and remove it."""

import os
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import yaml
from dvc.dvcfile import Lockfile
from dvc.exceptions import DvcException
from dvc.lock import LockError

from flows.engine.git import find_git_path, find_top
from flows.engine.merges import describe_marks
from flows.engine.names import is_running
from flows.engine.rwlock import RWLOCK, TMP, find_stale, hold_guard, remove_stale
from flows.engine.tree import TREES, read_head, remove_tree
from flows.upkeep.findings import Finding, bad, good, mend, note
from vision.base.errors import PipelineError
from vision.base.files import write_bytes

LOCK_FILE = Path("dvc.lock")
HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")
NAMES = {"path", "hash"}  # of an entry of dvc.lock; beside them it has a hash, of whatever kind


def check_rwlock(fix: bool) -> Iterator[Finding]:
    """Look for entries of processes that are no more, and for a file that DVC cannot read."""
    stale = find_stale()
    if not stale:
        return
    what = f"{RWLOCK} holds locks of no DVC process ({', '.join(sorted(stale))})"
    if not fix:
        yield bad(f"{what}: pipeline doctor --fix removes them")
        return
    try:
        remove_stale()
    except LockError:
        yield bad(f"{RWLOCK} is in use: end the DVC processes, then try again")
        return
    yield good(f"{what}: removed")


def check_repo_lock(fix: bool) -> Iterator[Finding]:
    """Look for a DVC that works in the project, and for what a killed one left.

    The system's locks go with their process. Hard links, which DVC takes instead where
    core.hardlink_lock is set, stay.
    """
    path = TMP / "lock"
    if not path.exists():
        return
    if path.stat().st_nlink > 1 and not _is_at_work("dvc"):
        yield mend(
            fix,
            path.unlink,
            f"{path} of a DVC that is gone: removed",
            f"{path} is held, but no DVC runs here: "
            "if none runs on another machine either, pipeline doctor --fix removes it",
        )
        return
    try:
        with hold_guard("lock"):
            return
    except LockError:
        holder = path.read_text(errors="replace").strip() or "unknown"
        yield note(f"DVC is at work here (process {holder}): runs wait for it")


def check_lock_file(fix: bool) -> Iterator[Finding]:
    """See whether DVC can read dvc.lock: killed while it writes it, DVC leaves half of it.

    The committed one can take its place. What it lacks comes from DVC's run cache.
    """
    if not LOCK_FILE.exists():
        return
    content = LOCK_FILE.read_bytes()
    if is_lock_file(content) and is_whole(content):
        return
    if not fix and (said := describe_marks(LOCK_FILE, content)):
        yield bad(f"{said}; then dvc repro")
        return
    if not fix:
        yield bad(f"{LOCK_FILE} is damaged: pipeline doctor --fix takes the committed one, or none")
        return
    kept = TMP / "dvc.lock.damaged"
    write_bytes(kept, content)
    if is_lock_file(committed := read_head(LOCK_FILE)) and is_whole(committed):
        write_bytes(LOCK_FILE, committed)
        yield good(f"{LOCK_FILE} was damaged: it is the committed one again (the other is {kept})")
    else:
        LOCK_FILE.unlink()
        what = "dvc repro writes a new one, with results from the run cache"
        yield good(f"{LOCK_FILE} was damaged, and is now {kept}: {what}")


def is_lock_file(content: bytes) -> bool:
    """Say whether DVC would take these bytes for a dvc.lock."""
    try:
        Lockfile.validate(yaml.safe_load(content))
    except (yaml.YAMLError, UnicodeDecodeError, DvcException):
        return False
    return True


def is_whole(content: bytes) -> bool:
    """Say whether each file in a dvc.lock has its hash: one cut inside a hash is YAML still."""
    stages = (yaml.safe_load(content) or {}).get("stages") or {}
    entries = [
        entry
        for stage in stages.values()
        for kind in ("deps", "outs")
        for entry in stage.get(kind, [])
    ]
    return all(
        HASH.fullmatch(str(entry["md5"])) if "md5" in entry else len(entry) > len(NAMES & {*entry})
        for entry in entries
    )


def check_git_lock(fix: bool) -> Iterator[Finding]:
    """Look for the index lock of a git that was killed."""
    try:
        lock, top = find_git_path("index.lock"), find_top()
    except PipelineError:  # check_git says why
        return
    if not lock.exists() or _is_at_work("git", top):
        return
    yield mend(
        fix,
        partial(lock.unlink, missing_ok=True),
        f"{lock} of a git that is gone: removed",
        f"{lock} is of a git that is gone: pipeline doctor --fix removes it",
    )


def check_trees(fix: bool) -> Iterator[Finding]:
    """Look for the trees of flows that were killed, and for what they were writing."""
    folders = [path for path in TREES.glob("*") if not _is_alive(path)]
    files = [path for path in _list_temporary() if not _is_writer_alive(path)]
    names = ", ".join(str(path) for path in [*folders, *files])
    if not names:
        return
    if not fix:
        yield bad(f"left by runs that were killed: {names}: pipeline doctor --fix removes them")
        return
    for folder in folders:
        remove_tree(folder) if (folder / ".git").exists() else shutil.rmtree(folder)
    for file in files:
        file.unlink(missing_ok=True)
    yield good(f"left by runs that were killed: {names}: removed")


def _is_alive(tree: Path) -> bool:
    """Say whether a run has a tree: it may wait for the GPU, with no process in the folder."""
    return is_running(tree.name) or _is_at_work("", tree)


def _is_at_work(word: str, folder: Path | None = None) -> bool:
    """Say whether a process with this word in its command, other than ours, works in a folder."""
    here = (folder or Path.cwd()).resolve()
    for process in psutil.process_iter():
        try:
            inside = Path(process.cwd()).is_relative_to(here) and process.pid != os.getpid()
            if inside and word in " ".join(process.cmdline()):
                return True
        except psutil.Error:  # it ended while we looked, or is another user's
            continue
    return False


def _list_temporary() -> Iterator[Path]:
    """Yield the names under which files were being written: .NAME.PID.tmp."""
    for folder in (Path("data"), Path("reports")):
        yield from folder.rglob(".*.tmp")


def _is_writer_alive(path: Path) -> bool:
    pid = path.name.split(".")[-2]
    return pid.isdigit() and psutil.pid_exists(int(pid)) and int(pid) != os.getpid()
