"""What DVC would find and do, asked of its private interface without running anything.

DVC is pinned, and tests/fuzz holds what is said here to what DVC then does. This module and plan.py
alone touch what DVC does not promise to keep.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

from dvc.dependency import ParamsDependency
from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc.stage.cache import _get_cache_hash
from dvc.stage.serialize import to_single_stage_lockfile
from dvc_data.hashfile.build import build
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta
from dvc_data.hashfile.tree import Tree

from vision.base.params import parse_yaml


def foresee(
    dep: Output, coming: Mapping[str, HashInfo], present: dict[str, HashInfo | None]
) -> HashInfo | None:
    """Return the hash that a file or folder will have; None if it will not be there.

    Args:
        coming: outs that DVC will bring back, by path.
        present: what is on the disk, by path; filled as it is looked at.
    """
    path = dep.fs_path
    if path in coming:
        return coming[path]
    for out, hash_info in coming.items():
        if is_below(path, out):
            return _find_inside(dep, hash_info, Path(path).relative_to(out).parts)
    inside = {out: info for out, info in coming.items() if is_below(out, path)}
    if inside:
        return _replace_inside(dep, inside)
    if path not in present:
        present[path] = dep.get_hash() if dep.exists else None
    return present[path]


def is_below(path: str, folder: str) -> bool:
    """Say whether a path is a folder, or lies in it; both as DVC spells them."""
    return f"{path}{os.sep}".startswith(f"{folder}{os.sep}")


def _find_inside(dep: Output, folder: HashInfo, parts: tuple[str, ...]) -> HashInfo | None:
    """Return the hash of what lies in a folder of the cache."""
    tree = Tree.load(dep.repo.cache.local, folder)
    found = tree.get(parts)
    if found:
        return found[1]
    below = tree.get_obj(dep.repo.cache.local, parts)  # type: ignore[arg-type]
    return below.hash_info if below else None


def _replace_inside(dep: Output, coming: Mapping[str, HashInfo]) -> HashInfo:
    """Return the hash of a folder in which some outs are replaced by others."""
    tree, root = Tree(), Path(dep.fs_path)  # type: ignore[no-untyped-call]
    places = {Path(out).relative_to(root).parts: info for out, info in coming.items()}
    for key, meta, hash_info in list_folder(dep):
        if not any(key[: len(place)] == place for place in places):
            tree.add(key, meta, hash_info)
    for place, hash_info in places.items():
        if hash_info.isdir:
            for key, meta, inner in Tree.load(dep.repo.cache.local, hash_info):
                tree.add((*place, *key), meta, inner)
        else:
            tree.add(place, Meta(), hash_info)
    tree.digest()
    return tree.hash_info


def list_folder(dep: Output) -> Iterator[tuple[tuple[str, ...], Meta, HashInfo]]:
    """Yield path, facts and hash of each file in a folder, as it is now."""
    if dep.exists:
        options = {"ignore": dep.dvcignore, "dry_run": True}
        _, _, obj = build(dep.repo.cache.local, dep.fs_path, dep.fs, "md5", **options)
        assert isinstance(obj, Tree)
        yield from obj


class Supply(Protocol):
    """A remote from which a plan has brought what the cache lacks."""

    def bring_run(self, key: str) -> bool:
        """Bring a run of a key with its objects; say whether there is one."""

    def bring(self, hashes: Iterable[str]) -> bool:
        """Bring objects; say whether the remote has them all."""


def find_run(stage: PipelineStage, supply: Supply | None = None) -> dict[str, Any] | None:
    """Return the newest entry of the run cache for a stage with the hashes that its deps have."""
    for item in (*stage.deps, *stage.outs):
        item.meta = Meta()  # a lock's meta repeats the hash, perhaps an older one
    runs = stage.repo.stage_cache
    key = _get_cache_hash(to_single_stage_lockfile(stage), key=True)
    folder = Path(runs._get_cache_dir(key))
    if supply and not any(folder.glob("*")):
        supply.bring_run(key)
    entries = folder.glob("*")
    newest = max(entries, key=lambda path: path.stat().st_mtime, default=None)
    return runs._load_cache(key, newest.name) if newest else None


def take_outs(stage: PipelineStage, entry: Mapping[str, Any], supply: Supply | None = None) -> bool:
    """Give a stage the outs of an entry of the run cache; say whether the cache has them."""
    outs = {out["path"]: out for out in entry["outs"]}
    for out in stage.outs:
        out.clear()
        out.hash_info = HashInfo("md5", outs[out.def_path]["md5"])
        out.meta = Meta(size=outs[out.def_path].get("size"))
        out.use_cache = True  # the run cache keeps outs that the workspace does not
    return bool(stage.outs_cached()) or _bring_outs(stage, supply)


def are_cached(stage: PipelineStage, supply: Supply | None = None) -> bool:
    """Say whether DVC's cache has all outs as dvc.lock has them, also those that it need not keep.

    DVC restores all outs of a stage or none: a report that lies in git is drawn anew.
    """
    return all(map(is_cached, stage.outs)) or _bring_outs(stage, supply)


def _bring_outs(stage: PipelineStage, supply: Supply | None) -> bool:
    hashes = [out.hash_info.value for out in stage.outs if out.hash_info]
    complete = len(hashes) == len(stage.outs)
    return complete and supply is not None and supply.bring(hashes)


def find_cached(out: Output, parts: tuple[str, ...]) -> Path | None:
    """Return where the cache has a file of a folder, as dvc.lock has it."""
    if not is_cached(out):
        return None
    _, hash_info = Tree.load(out.cache, out.hash_info).get(parts) or (None, None)
    path = hash_info and Path(out.cache.oid_to_path(hash_info.value))
    return path if path and path.is_file() else None


def is_cached(out: Output) -> bool:
    """Say whether the cache has an out, be it one that DVC is not asked to keep."""
    with mock.patch.object(out, "use_cache", True):
        return bool(out.hash_info) and not out.changed_cache()


def could_be_known(
    repo: Repo, stage: PipelineStage, params: Mapping[str, Any], known: Mapping[str, str]
) -> bool:
    """Say whether the run cache has a run of a stage that some of its deps do not rule out.

    Args:
        params: what the stage reads of params.yaml.
        known: hashes of the deps that are certain, by path.
    """
    for text in _list_runs(repo, f"cmd: {stage.cmd}\n"):
        entry = parse_yaml(text)
        recorded = {dep["path"]: dep.get("md5") for dep in entry.get("deps", [])}
        values: Any = next(iter(entry.get("params", {}).values()), {})
        if (
            values == params
            and {dep.def_path for dep in stage.deps if not is_params(dep)} == recorded.keys()
            and all(recorded.get(path) == value for path, value in known.items())
        ):
            return True
    return False


def _list_runs(repo: Repo, line: str) -> Iterator[str]:
    """Yield the entries of the run cache that have a line."""
    for path in Path(repo.stage_cache.cache_dir).glob("*/*/*"):
        text = path.read_text(encoding="utf-8", errors="replace")
        if line in text:
            yield text


def is_params(dep: Output) -> bool:
    return isinstance(dep, ParamsDependency)


def count_bytes(stage: PipelineStage) -> int:
    """Return the size of a stage's outs, as far as DVC has noted it."""
    return sum(out.meta.size or 0 for out in stage.outs if out.meta)


def read_metrics(stage: PipelineStage) -> dict[str, Any]:
    """Return what a stage's metrics file holds, or will once it is back from the cache."""
    for out in stage.outs:
        if out.is_metric and out.def_path.endswith(".json") and out.hash_info:
            path = Path(out.cache.oid_to_path(out.hash_info.value))
            if path.is_file():
                return dict(json.loads(path.read_text(encoding="utf-8")))
    return {}
