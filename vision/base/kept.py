"""Where things are kept that may be wanted again: unfinished trainings, and outs by their key.

data/checkpoints/
    NAME-KEY...     KEY is of all that decides the thing: code, params, inputs, torch's version

What has another key is another thing, so nothing is ever mistaken for it. The folder is no out of
DVC's. PIPELINE_CHECKPOINTS names another one; where it is set to nothing, nothing is kept or found.
PIPELINE_CHECKPOINTS_KEPT says how many of one name stay: as many as are trained side by side, and
more.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from vision.base.fingerprint import KEY_DIGITS, make_key
from vision.base.variables import read_variable

CHECKPOINTS = "PIPELINE_CHECKPOINTS"  # environment variable
CHECKPOINTS_DIR = Path("data/checkpoints")
CHECKPOINTS_KEPT = "PIPELINE_CHECKPOINTS_KEPT"  # environment variable
KEPT = 2  # of one name, where it is not set; older ones make room


def find_place(name: str, decisive: Mapping[str, str], root: Path = Path()) -> Path | None:
    """Return where a thing is kept or would be, without a suffix; None if nothing is kept.

    Args:
        decisive: hashes of all that decides it.
        root: the project, where PIPELINE_CHECKPOINTS names no other folder.
    """
    folder = read_variable(CHECKPOINTS)
    if folder == "":
        return None
    return (Path(folder) if folder else root / CHECKPOINTS_DIR) / f"{name}-{make_key(decisive)}"


def drop_older(place: Path) -> None:
    """Remove what is kept under the same name, but for the newest keys."""
    kept = int(read_variable(CHECKPOINTS_KEPT) or KEPT)
    name = get_name(place)
    by_key: dict[str, list[Path]] = {}
    for path in place.parent.glob(f"{name}-{'?' * KEY_DIGITS}*"):
        by_key.setdefault(path.name[: len(name) + 1 + KEY_DIGITS], []).append(path)
    for paths in sorted(by_key.values(), key=_find_newest)[:-kept]:
        for path in paths:
            remove(path)


def get_name(place: Path) -> str:
    """Return the name of what is kept at a place, without its key."""
    return place.name[: -KEY_DIGITS - 1]


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _find_newest(paths: list[Path]) -> float:
    return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)
