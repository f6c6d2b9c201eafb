"""DVC's objects and entries, moved between a cache and a remote by hash: its private interface.

DVC's own `--run-cache` transfers copy every entry each time, and of two results under one key the
newest file wins, by chance. Here only what is asked for moves, and the first result under a key
stands.
"""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from dvc.config import ConfigError
from dvc.exceptions import DvcException
from dvc.fs import LocalFileSystem
from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.stage import PipelineStage
from dvc.stage.cache import _can_hash, _get_cache_hash
from dvc.stage.serialize import to_single_stage_lockfile
from dvc_data.hashfile import load
from dvc_data.hashfile.build import build
from dvc_data.hashfile.checkout import checkout
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.transfer import transfer
from dvc_data.hashfile.tree import Tree
from dvc_objects.errors import ObjectFormatError
from ruamel.yaml import YAML

from flows.engine.forecast import count_bytes, is_below
from flows.engine.patience import AwayError
from flows.engine.plan import READING
from flows.placing.remotes import explain, is_full, lacks_bucket
from vision.base.errors import PipelineError

HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")
LOCK_TRIES = 20  # of 3 s each, for which DVC waits for its lock
DIR = ".dir"  # with which the hash of a folder ends
Entry = dict[str, Any]  # of a stage, as dvc.lock and the run cache have it


class RefusedError(PipelineError):
    """What came from elsewhere is not what it should be."""


class NoRemoteError(PipelineError):
    """A project has no remote of DVC's."""


class Store:
    """The cache and the default remote of a project, or of a tree that shares them."""

    def __init__(self, repo: Repo) -> None:
        self.repo, self.cache = repo, repo.cache.local
        self.connect()

    def connect(self) -> None:
        """Begin anew with the remote: a connection that broke off stays broken.

        Raises:
            NoRemoteError: the project has none.
        """
        try:
            self.remote = self.repo.cloud.get_remote_odb()
        except ConfigError as error:
            why = " ".join(str(error).split())
            way_out = "dvc remote add --default NAME FOLDER"
            raise NoRemoteError(
                f"DVC has no remote to move results by ({why}): {way_out}"
            ) from None

    def push(self, hashes: Iterable[str]) -> int:
        """Send what the remote lacks of some objects, and return its bytes.

        Raises:
            PipelineError: the cache lacks some of it, or the remote does not take it.
        """
        files, folders = self._unfold(hashes)
        return self._send(files) + self._send(folders)

    def pull(self, hashes: Iterable[str]) -> int:
        """Fetch what the cache lacks of some objects, hash it, and return its bytes.

        Raises:
            RefusedError: the remote lacks some of it, or has other bytes under its name.
        """
        wanted = set(hashes)
        moved = self._fetch({each for each in wanted if each.endswith(DIR)})
        return moved + self._fetch(self._unfold(wanted)[0])

    def count_missing(self, hashes: Iterable[str]) -> int:
        """Return how many bytes of some objects the remote lacks."""
        files, folders = self._unfold(hashes)
        with self.reaching():
            return self._count_bytes(_find_missing(self.remote, files | folders))

    def check_out(self, path: Path, digest: str) -> None:
        """Put a file or folder of the cache at a path."""
        content = load(self.cache, HashInfo("md5", digest))
        path.parent.mkdir(parents=True, exist_ok=True)
        options = {"force": True, "state": self.repo.state}
        checkout(str(path.absolute()), LocalFileSystem(), content, self.cache, **options)

    def keep_run(self, entry: Entry) -> None:
        """Write a stage's entry into the run cache, as the newest under its key."""
        path = self._find_kept(entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=path.parents[2])  # not where DVC takes all files
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            YAML().dump(entry, file)
        Path(unfinished).replace(path)

    def forget(self, stage: PipelineStage) -> None:
        """Take a stage out of dvc.lock, so that DVC's `repro` looks for the newest of its runs.

        Raises:
            PipelineError: another DVC holds its lock for long.
        """
        for _ in range(LOCK_TRIES):
            with suppress(LockError), READING, lock_repo(self.repo):
                stage.dvcfile._lockfile.remove_stage(stage)
                return
        raise PipelineError(f"{stage.name}: dvc.lock is held by another DVC")

    def bring(self, hashes: Iterable[str]) -> bool:
        """Fetch some objects, and say whether the remote has them all, whole."""
        try:
            self.pull(hashes)
        except RefusedError:
            return False
        return True

    def bring_run(self, key: str) -> bool:
        """Fetch a run of a key with its objects, and say whether the remote has one, whole."""
        folder = self._find_runs(key)
        for name in sorted(self.list_names(folder)):
            with self.reaching():
                text = self.remote.fs.read_text(self.remote.fs.join(folder, name))
            entry = YAML(typ="safe").load(text)
            if find_key(entry) == key and self.bring(list_outs(entry)):
                self.keep_run(entry)
                return True
        return False

    def send_run(self, entry: Entry) -> int:
        """Send the outs of an entry of dvc.lock and, if the remote has none of its key, its run."""
        moved = self.push(list_outs(entry))
        path, folder = self._find_kept(entry), self._find_runs(find_key(entry))
        if path.is_file() and not self.list_names(folder):
            with self.reaching():
                self.remote.fs.makedirs(folder, exist_ok=True)
                self.remote.fs.put_file(str(path), self.remote.fs.join(folder, path.name))
        return moved

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """Say which remote it was that failed; each kind has errors of its own."""
        try:
            yield
        except PipelineError:
            raise
        except Exception as error:
            raise self._explain(error) from error

    def _explain(self, error: BaseException) -> PipelineError:
        """Return what to tell of an error; after one of a connection, the next begins anew."""
        told = explain(error, self.remote.fs.unstrip_protocol(self.find_top()))
        if isinstance(told, AwayError):
            self.connect()
        return told

    def _find_kept(self, entry: Entry) -> Path:
        """Return where the run cache has an entry, or would have it."""
        runs = self.repo.stage_cache
        return Path(runs._get_cache_path(find_key(entry), _get_cache_hash(entry)))

    def _find_runs(self, key: str) -> str:
        """Return where the remote keeps the runs of a key, as DVC's own transfer does."""
        return str(self.remote.fs.join(self.find_top(), "runs", key[:2], key))

    def find_top(self) -> str:
        """Return the folder of the remote."""
        return str(self.repo.cloud.get_remote_odb(hash_name="md5-dos2unix").path)

    def list_names(self, folder: str) -> list[str]:
        """Return the names of what lies in a folder of the remote, if there is one."""
        with self.reaching(), suppress(FileNotFoundError):
            return [self.remote.fs.name(path) for path in self.remote.fs.ls(folder, detail=False)]
        return []

    def _unfold(self, hashes: Iterable[str]) -> tuple[set[str], set[str]]:
        """Return the hashes of files, also those in folders, and of the folders' lists."""
        wanted = set(hashes)
        folders = {each for each in wanted if each.endswith(DIR)}
        files = wanted - folders
        for folder in folders:
            try:
                listed = list(Tree.load(self.cache, HashInfo("md5", folder)))
            except (FileNotFoundError, ObjectFormatError):
                raise PipelineError(f"DVC's cache lacks the folder {folder}: dvc pull") from None
            for parts, _, info in listed:
                if not HASH.fullmatch(info.value) or not all(map(_is_name, parts)):
                    raise RefusedError(f"{folder} lists {'/'.join(parts)}, which is no file in it")
                files.add(info.value)
        return files, folders

    def _send(self, hashes: set[str]) -> int:
        with self.reaching():
            missing = _find_missing(self.remote, hashes)
            if absent := _find_missing(self.cache, missing):
                raise PipelineError(f"DVC's cache lacks {_name(absent)}: dvc pull, or dvc repro")
            failed = _copy(self.cache, self.remote, missing, verify=False)
        for error in failed.values():
            raise self._explain(error) from error
        return self._count_bytes(missing)

    def _fetch(self, hashes: set[str]) -> int:
        missing = _find_missing(self.cache, hashes)
        with self.reaching():
            failed = _copy(self.remote, self.cache, missing, verify=True)
        if absent := _find_missing(self.cache, missing):
            raise self._refuse(absent, failed) from next(iter(failed.values()), None)
        return self._count_bytes(missing)

    def _refuse(self, absent: set[str], failed: Mapping[str, BaseException]) -> PipelineError:
        """Return what to tell of objects that have not come."""
        error, why = next(iter(failed.values()), None), "its bytes are not those of its name"
        if error and is_full(error):
            way_out = "dvc gc --workspace, or dvc cache dir --local FOLDER where there is some"
            return PipelineError(f"{self.cache.path} has no room left: {way_out}")
        if error and (lacks_bucket(error) or not isinstance(error, FileNotFoundError)):
            return self._explain(error)
        if error:
            why = "it is not there"
        return RefusedError(f"{self.remote.path} does not give {_name(absent)}: {why}")

    def _count_bytes(self, hashes: Iterable[str]) -> int:
        return sum(Path(self.cache.oid_to_path(each)).stat().st_size for each in hashes)


@contextmanager
def open_store(tree: Path) -> Iterator[Store]:
    """Yield the cache and the remote of a project.

    Raises:
        PipelineError: DVC cannot read the project, or reach the remote.
    """
    try:
        with Repo(str(tree)) as repo:
            yield Store(repo)
    except DvcException as error:
        raise PipelineError(f"DVC: {error}") from error


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


def _find_missing(place: Any, hashes: set[str]) -> set[str]:
    return hashes - set(place.oids_exist(list(hashes))) if hashes else set()


def _copy(source: Any, target: Any, hashes: set[str], *, verify: bool) -> dict[str, BaseException]:
    """Copy objects, and return which failed, and why."""
    failed: dict[str, BaseException] = {}
    names = sorted(hashes)
    if not names:
        return failed
    try:
        target.add(
            [source.oid_to_path(name) for name in names],
            source.fs,
            names,
            check_exists=False,
            verify=verify,
            batch_size=target.fs.jobs,
            on_error=lambda name, error: failed.update({name: error}),
        )
    except FileNotFoundError:  # what DVC then misses of a single object that has failed
        if not failed:
            raise
    return failed


def _is_name(part: str) -> bool:
    """Say whether a part of a path leads down; what others list may try to lead elsewhere."""
    return part not in ("", ".", "..") and "/" not in part and os.sep not in part


def _name(hashes: Iterable[str]) -> str:
    first, *rest = sorted(hashes)
    return first + (f" and {len(rest)} more" if rest else "")
