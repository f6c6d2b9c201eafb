"""Hash every object of DVC's cache again: DVC trusts one that is write-protected."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml
from dvc.repo import Repo

from flows.upkeep.findings import Finding, bad, good
from vision.base.processor import count_cores
from vision.base.progress import track

DIR_SUFFIX = ".dir"  # of the list of a folder's files


def verify_cache(repair: bool) -> Iterator[Finding]:
    """Name the objects whose bytes are not those that they are named by; drop them if asked."""
    root = find_cache()
    objects = list_objects(root)
    with ThreadPoolExecutor(count_cores()) as pool:
        verdicts = list(track(pool.map(is_intact, objects), "objects", total=len(objects)))
    damaged = [path for path, intact in zip(objects, verdicts, strict=True) if not intact]
    damaged += [path for path in sorted(root.glob("runs/*/*/*")) if not is_run(path)]
    for path in damaged:
        name = path.relative_to(root)
        if repair:
            path.unlink(missing_ok=True)
            yield good(f"cache: {name} was damaged: dropped; dvc pull or dvc repro brings it back")
        else:
            way_out = "pipeline doctor --verify-cache --repair drops it"
            yield bad(f"cache: {name} is damaged: {way_out}")
    yield good(f"cache: {len(objects) - len(damaged)} objects of {len(objects)} are intact")


def find_cache() -> Path:
    with Repo() as repo:
        return Path(repo.cache.local.path).parents[1]


def list_objects(root: Path) -> list[Path]:
    """Return the files that are named by the MD5 of their bytes."""
    return sorted(path for path in root.glob("files/md5/??/*") if path.is_file())


def is_intact(path: Path) -> bool:
    """Say whether a cache object has the bytes that its name is the MD5 of."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
    return digest == path.parent.name + path.name.removesuffix(DIR_SUFFIX)


def is_run(path: Path) -> bool:
    """Say whether an entry of the run cache can be read."""
    try:
        return isinstance(yaml.safe_load(path.read_bytes()), dict)
    except (yaml.YAMLError, UnicodeDecodeError):
        return False
