"""Outs that were computed before from what means the same, kept and brought back.

DVC reruns a stage when a byte of its code changes, be it in a comment. The stage then ends in
seconds, with the bytes of before. See vision/base/kept.py for the place.
"""

import shutil
from pathlib import Path

from stages.declared import read_declared
from vision.base.fingerprint import find_decisive
from vision.base.kept import drop_older, find_place, remove
from vision.base.params import get_value, read_params


def find_known(stage: str, name: str = "") -> Path | None:
    """Return the folder in which a stage's outs are kept, or would be; None if nothing is kept."""
    declared, params = read_declared(stage, name), read_params()
    settings = {key: get_value(params, key) for key in declared.params}
    title = "@".join(filter(None, [stage, name]))
    return find_place(title, find_decisive(declared.deps, settings))


def bring_back(stage: str, name: str, place: Path) -> None:
    print(f"known from a run with equal code, params and inputs: {place}", flush=True)
    _copy(read_declared(stage, name).outs, place, Path())
    place.touch()  # what is used last is dropped last


def keep(stage: str, name: str, place: Path) -> None:
    """Copy a stage's outs, whole or not at all."""
    unfinished = place.with_name(f".{place.name}.tmp")
    remove(unfinished)
    _copy(read_declared(stage, name).outs, Path(), unfinished)
    unfinished.rename(place)
    drop_older(place)


def _copy(outs: list[str], source: Path, target: Path) -> None:
    for out in outs:
        remove(target / out)
        (target / out).parent.mkdir(parents=True, exist_ok=True)
        if (source / out).is_dir():
            shutil.copytree(source / out, target / out)
        else:
            shutil.copyfile(source / out, target / out)
