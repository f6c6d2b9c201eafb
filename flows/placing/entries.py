"""What DVC notes of stages: read, kept in its run cache, brought and sent. Its private interface.

DVC's own `--run-cache` transfers copy every entry each time, and of two results under one key the
newest file wins, by chance. Here only what is asked for moves, and the first result under a key
stands.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from dvc.lock import LockError
from dvc.repo import lock_repo
from dvc.stage import PipelineStage
from dvc.stage.cache import _can_hash, _get_cache_hash
from dvc.stage.serialize import to_single_stage_lockfile
from dvc_data.hashfile.build import build
from dvc_data.hashfile.transfer import transfer
from ruamel.yaml import YAML

from flows.engine.forecast import count_bytes, is_below
from flows.engine.plan import READING
from flows.placing.objects import Store
from vision.base.errors import PipelineError

LOCK_TRIES = 20  # of 3 s each, for which DVC waits for its lock
Entry = dict[str, Any]  # of a stage, as dvc.lock and the run cache have it


class Reading(NamedTuple):
    """
    Attributes:
        entry: of a stage, with the hashes that its deps have now and the paths of its outs.
        held: the paths of the deps that DVC holds.
        is_kept: DVC keeps all its outs.
        bytes: of its outs, as they were last.
    """

    stage: PipelineStage
    entry: Entry
    held: list[str]
    is_kept: bool
    bytes: int


def read_stage(store: Store, name: str) -> Reading:
    """Return with what a stage would run now.

    Raises:
        PipelineError: a dep is missing, or DVC keeps no runs of such a stage.
    """
    with READING:
        everything = store.repo.index.stages
        stage = next((each for each in everything if getattr(each, "name", "") == name), None)
        if not stage:
            raise PipelineError(f"there is no stage {name!r} in dvc.yaml")
        last = count_bytes(stage)
        stage.save_deps()
        if not _can_hash(stage):
            raise PipelineError(f"{name}: DVC keeps no runs of it, so none comes from elsewhere")
        kept = [out.fs_path for other in everything for out in other.outs]
        held = [dep for dep in stage.deps if any(is_below(dep.fs_path, out) for out in kept)]
        for dep in held:
            _store_dep(store, dep)
        entry = to_single_stage_lockfile(stage)
        paths = sorted(out.def_path for out in stage.outs)  # as DVC has them in dvc.lock
        entry["outs"] = [{"path": path} for path in paths]
        is_kept = all(out.use_cache or out.metric or out.plot for out in stage.outs)
        return Reading(stage, entry, [dep.def_path for dep in held], is_kept, last)


def _store_dep(store: Store, dep: Any) -> None:
    """Have the cache hold a dep as an object of its own: it may be a part of an out."""
    options = {"ignore": dep.dvcignore}
    staging, _, content = build(store.cache, dep.fs_path, dep.fs, "md5", **options)
    transfer(staging, store.cache, {content.hash_info}, shallow=False)


def find_key(entry: Entry) -> str:
    """Return under which key DVC keeps the runs of a stage with this command, params and deps."""
    return str(_get_cache_hash(dict(entry), key=True))


def list_outs(entry: Mapping[str, Any]) -> list[str]:
    return [out["md5"] for out in entry.get("outs", [])]


def list_deps(entry: Mapping[str, Any]) -> dict[str, str]:
    return {dep["path"]: dep.get("md5", "") for dep in entry.get("deps", [])}


class Runs:
    """The runs of stages that DVC's cache and a remote know."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def keep(self, entry: Entry) -> None:
        """Write a stage's entry into the run cache, as the newest under its key."""
        path = self._find_kept(entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=path.parents[2])  # not where DVC takes all files
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            YAML().dump(entry, file)
        Path(unfinished).replace(path)

    def bring(self, hashes: Iterable[str]) -> bool:
        """Fetch objects, and say whether the remote has them all, whole."""
        return self.store.bring(hashes)

    def bring_run(self, key: str) -> bool:
        """Fetch a run of a key with its objects, and say whether the remote has one, whole."""
        folder, remote = self._find_folder(key), self.store.remote
        for name in sorted(self.store.list_names(folder)):
            with self.store.reaching():
                text = remote.fs.read_text(remote.fs.join(folder, name))
            entry = YAML(typ="safe").load(text)
            if find_key(entry) == key and self.bring(list_outs(entry)):
                self.keep(entry)
                return True
        return False

    def send(self, entry: Entry) -> int:
        """Send the outs of an entry of dvc.lock and, if the remote has none of its key, its run."""
        moved = self.store.push(list_outs(entry))
        path, folder = self._find_kept(entry), self._find_folder(find_key(entry))
        if path.is_file() and not self.store.list_names(folder):
            fs = self.store.remote.fs
            with self.store.reaching():
                fs.makedirs(folder, exist_ok=True)
                fs.put_file(str(path), fs.join(folder, path.name))
        return moved

    def _find_kept(self, entry: Entry) -> Path:
        """Return where the run cache has an entry, or would have it."""
        runs = self.store.repo.stage_cache
        return Path(runs._get_cache_path(find_key(entry), _get_cache_hash(entry)))

    def _find_folder(self, key: str) -> str:
        """Return where the remote keeps the runs of a key, as DVC's own transfer does."""
        return str(self.store.remote.fs.join(self.store.find_top(), "runs", key[:2], key))


def forget(store: Store, stage: PipelineStage) -> None:
    """Take a stage out of dvc.lock, so that DVC's `repro` looks for the newest of its runs.

    Raises:
        PipelineError: another DVC holds its lock for long.
    """
    for _ in range(LOCK_TRIES):
        with suppress(LockError), READING, lock_repo(store.repo):
            stage.dvcfile._lockfile.remove_stage(stage)
            return
    raise PipelineError(f"{stage.name}: dvc.lock is held by another DVC")
