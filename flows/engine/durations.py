"""How long stages took, to tell how long a run should take.

Kept in .dvc/tmp of the project, not of a tree: it is about this machine, and no stage reads it.
"""

import json
from pathlib import Path
from typing import Any

from filelock import FileLock

from flows.engine.plan import PlannedStage
from vision.base.files import read_json, write_json

FILE = Path(".dvc/tmp/durations.json")
TIMINGS = "data/timings/{model}.json"


def record(stage: PlannedStage, seconds: float, root: Path = Path()) -> None:
    """Note the seconds of a stage that ran, and the epochs that it trained."""
    path = root / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        noted = _read(path)
        noted[stage.name] = {"seconds": round(seconds, 2), "epochs": stage.epochs}
        write_json(path, noted)


def estimate(stage: PlannedStage, root: Path = Path()) -> float | None:
    """Return the seconds that a stage should take; None where it never ran here.

    A training is taken to need seconds in proportion to its epochs.
    """
    if stage.verdict in ("cached", "restore"):
        return 0.0
    last = _read(root / FILE).get(stage.name) or _read_timing(stage, root)
    if last is None:
        return None
    more = stage.epochs / last["epochs"] if stage.epochs and last["epochs"] else 1.0
    return float(last["seconds"] * more)


def _read_timing(stage: PlannedStage, root: Path) -> dict[str, Any] | None:
    """Return what a training that DVC ran without us left behind."""
    timing = _read(root / TIMINGS.format(model=stage.name.partition("@")[2]))
    if "epochs" not in timing:
        return None
    return {"seconds": timing["train_seconds"], "epochs": timing["epochs"]}


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def describe(seconds: float) -> str:
    """Write a duration as people say it: 40 s, 5 min, 1 h 10 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return f"{minutes} min" if not hours else f"{hours} h {rest} min" if rest else f"{hours} h"


def describe_time(stage: PlannedStage, root: Path = Path()) -> str:
    """Say how long a stage should take; "" where nothing runs, "?" where it never ran here."""
    seconds = estimate(stage, root)
    return "?" if seconds is None else describe(seconds) if seconds else ""


def describe_total(plan: list[PlannedStage], root: Path = Path()) -> str:
    """Say how many stages will run, one after the other, and for how long."""
    due = [stage for stage in plan if stage.verdict in ("run", "maybe")]
    if not due:
        restored = sum(stage.verdict == "restore" for stage in plan)
        return "Nothing runs" + f"; {restored} come back from the cache" * bool(restored)
    known = [seconds for stage in due if (seconds := estimate(stage, root)) is not None]
    text = f"{len(due)} of {len(plan)} stages run"
    if known:
        text += f", about {describe(sum(known))}"
    if len(known) < len(due):
        text += f"; {len(due) - len(known)} never ran here, so their time is unknown"
    return text
