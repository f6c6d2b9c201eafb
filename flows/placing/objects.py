"""DVC's objects, moved between a cache and a remote by hash: its private interface."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dvc.config import ConfigError
from dvc.exceptions import DvcException
from dvc.fs import LocalFileSystem
from dvc.repo import Repo
from dvc_data.hashfile import load
from dvc_data.hashfile.checkout import checkout
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree
from dvc_objects.errors import ObjectFormatError

from flows.engine.patience import AwayError
from flows.placing.remotes import explain, is_full, lacks_bucket
from vision.base.errors import PipelineError

HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")
DIR = ".dir"  # with which the hash of a folder ends


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

    def bring(self, hashes: Iterable[str]) -> bool:
        """Fetch some objects, and say whether the remote has them all, whole."""
        try:
            self.pull(hashes)
        except RefusedError:
            return False
        return True

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
