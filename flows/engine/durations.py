"""How long stages took, to tell how long a run should take.

Kept in .dvc/tmp of the project, not of a tree: it is about this machine, and no stage reads it.
"""

import json
from pathlib import Path
from typing import Any

from filelock import FileLock

from flows.engine.plan import PlannedStage
from flows.engine.repro import Outcome
from vision.base.files import read_json, write_json

FILE = Path(".dvc/tmp/durations.json")
TIMINGS = "data/timings/{model}.json"
START_S = 8.0  # of a stage that was never timed here: Python, torch, DVC before and after
KNOWN_S = 2.5  # of a stage whose outs are kept: Python, DVC before and after
RESTORE_S = 1.0  # of a stage that comes back: DVC starts and looks
BYTES_PER_S = 200e6  # that come back from the cache


def record(
    stage: PlannedStage, outcome: Outcome, seconds: float, root: Path = Path(), tree: Path = Path()
) -> None:
    """Note what a stage took.

    Args:
        root: the project, where notes are kept.
        tree: where the stage ran; a training has left there how long its epochs took.
    """
    path = root / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        noted = _read(path)
        noted.setdefault(stage.name, {}).update(_note(stage, outcome, seconds, tree))
        write_json(path, noted)


def _note(stage: PlannedStage, outcome: Outcome, seconds: float, tree: Path) -> dict[str, float]:
    if outcome == "restored":
        return {"restore": round(seconds, 2), "bytes": stage.bytes}
    if stage.known:
        return {"known" if stage.epochs is None else "start": round(seconds, 2)}
    note = {"seconds": round(seconds, 2)}
    if stage.epochs_left and (epoch := _read_epoch(stage, tree)):
        start = max(0.0, seconds - epoch * stage.epochs_left)
        note |= {"epoch": round(epoch, 4), "start": round(start, 2)}
    return note


def estimate(stage: PlannedStage, root: Path = Path()) -> float | None:
    """Return the seconds that a stage should take; None where it never ran here.

    A training takes its start and its epochs, less those that a checkpoint has.
    """
    noted = _read(root / FILE).get(stage.name, {})
    match stage.verdict:
        case "cached":
            return 0.0
        case "restore":
            return _estimate_restore(stage, noted)
    if stage.known and stage.epochs is None:
        return float(noted.get("known", KNOWN_S))
    if stage.known:
        return float(noted.get("start", START_S))
    epoch = noted.get("epoch") or _read_epoch(stage, root)
    if stage.epochs_left is not None and epoch:
        return float(noted.get("start", START_S) + epoch * stage.epochs_left)
    return float(noted["seconds"]) if "seconds" in noted else None


def _estimate_restore(stage: PlannedStage, noted: dict[str, float]) -> float:
    more = stage.bytes - noted.get("bytes", 0)
    return max(RESTORE_S / 2, noted.get("restore", RESTORE_S) + more / BYTES_PER_S)


def _read_epoch(stage: PlannedStage, root: Path) -> float | None:
    """Return the seconds of an epoch, as a training left them behind."""
    timing = _read(root / TIMINGS.format(model=stage.name.partition("@")[2]))
    return timing["train_seconds"] / timing["epochs"] if timing.get("epochs") else None


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
    """Say how long a stage should take; "" where nothing is done, "?" where it never ran here."""
    seconds = estimate(stage, root)
    if seconds is None:
        return "?"
    known = ", known" if stage.known else ""
    return f"{describe(seconds)}{known}" if seconds else ""


def describe_total(plan: list[PlannedStage], root: Path = Path()) -> str:
    """Say how many stages will run, one after the other, and for how long."""
    due = [stage for stage in plan if stage.verdict in ("run", "maybe")]
    restored = sum(stage.verdict == "restore" for stage in plan)
    back = f"; {restored} come back from the cache" * bool(restored)
    if not due:
        return f"Nothing runs{back}"
    times = [seconds for stage in due if (seconds := estimate(stage, root)) is not None]
    text = f"{len(due)} of {len(plan)} stages run"
    if times:
        text += f", about {describe(sum(times))}"
    if known := sum(stage.known for stage in due):
        text += f"; {known} give what is known already"
    if len(times) < len(due):
        text += f"; {len(due) - len(times)} never ran here, so their time is unknown"
    return text + back
