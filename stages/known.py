"""Outs that were computed before from what means the same, kept and brought back.

DVC reruns a stage when a byte of its code changes, be it in a comment. The stage then ends in
seconds, with the bytes of before, and without loading what it would compute with.
See vision/base/kept.py for the place:

data/checkpoints/
    STAGE@NAME-KEY/           the outs, each at its path
    STAGE@NAME-KEY/sums.json  their hashes, as dvc.lock has them
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from stages.declared import read_declared
from vision.base.fingerprint import digest_path, find_decisive
from vision.base.kept import drop_older, find_place, get_name, remove
from vision.base.params import get_value, read_params

SUMS = "sums.json"


def find_known(stage: str, name: str, hashes: Mapping[str, str]) -> Path | None:
    """Return the folder in which a stage's outs are kept, or would be; None if they are not.

    Args:
        hashes: of its deps, by path.
    """
    declared, params = read_declared(stage, name), read_params()
    if not declared.keeps:
        return None
    settings = {key: get_value(params, key) for key in declared.params}
    title = "@".join(filter(None, [stage, name]))
    return find_place(title, find_decisive(declared.deps, settings, hashes.__getitem__))


def bring_back(stage: str, name: str, place: Path) -> bool:
    """Put a stage's outs where they belong, if they are kept; say whether they are."""
    if not place.is_dir():
        return False
    outs = read_declared(stage, name).outs
    with _holding(place):
        if not _is_whole(outs, place):
            print(f"{place} is damaged: computing it again", flush=True)
            remove(place)
            return False
        _copy(outs, place, Path())
        place.touch()  # what is used last is dropped last
    print(f"known from a run with equal code, params and inputs: {place}", flush=True)
    return True


def keep(stage: str, name: str, place: Path) -> None:
    """Copy a stage's outs, whole or not at all; that there is no room for them fails no stage."""
    outs, unfinished = read_declared(stage, name).outs, place.with_name(f".{get_name(place)}.tmp")
    try:
        with _holding(place):
            remove(unfinished)
            _copy(outs, Path(), unfinished)
            (unfinished / SUMS).write_text(json.dumps(_sum(outs, Path())), encoding="utf-8")
            remove(place)
            unfinished.rename(place)
            drop_older(place)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        print(f"note: the outs are not kept for a later run: {error}", flush=True)


@contextmanager
def _holding(place: Path) -> Iterator[None]:
    """Keep other runs, which may be in trees of their own, away from what has the same name."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f".{get_name(place)}.lock")):
        yield


def _is_whole(outs: list[str], place: Path) -> bool:
    with suppress(OSError, ValueError):
        return bool(json.loads((place / SUMS).read_text(encoding="utf-8")) == _sum(outs, place))
    return False


def _sum(outs: list[str], folder: Path) -> dict[str, str]:
    return {out: digest_path(folder / out) for out in outs}


def _copy(outs: list[str], source: Path, target: Path) -> None:
    for out in outs:
        remove(target / out)
        (target / out).parent.mkdir(parents=True, exist_ok=True)
        if (source / out).is_dir():
            shutil.copytree(source / out, target / out)
        else:
            shutil.copyfile(source / out, target / out)
