"""One step of the fuzz: plan, run, compute from nothing, and say what does not fit."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from flows.engine.plan import PlannedStage, make_plan
from tests.fuzz.scratch import Result, StageError
from tests.fuzz.stages import Stage, list_files, read_stages
from tests.fuzz.world import Inputs, Record, World, note_inputs, run_dvc
from tests.projects import DIFFERING
from vision.base.errors import PipelineError

REFUSED = "make deps"
KNOWN = ("known from a run", "going on after epoch")
CACHED_REPORTS = ("reports/report.html", "reports/predictions.csv")  # the others are in git
LINE = re.compile(r"^(?:Running stage|Stage) '([^']+)'(.*)$", re.MULTILINE)
# Deps that a stage may leave unread: patterns of a stage and of a path.
UNREAD = (
    ("*", "*.py"),  # code that is imported where it is needed
    ("split", "data/raw/*"),  # it names photos, whose bytes alone decide the split
)


@dataclass(frozen=True)
class Seen:
    """What DVC did with a stage."""

    did: str  # ran, restored or skipped
    output: str

    @property
    def known(self) -> bool:
        """Say whether it ended without computing anything."""
        epochs = re.findall(r"going on after epoch (\d+)/(\d+)", self.output)
        return KNOWN[0] in self.output or (
            bool(epochs)
            and all(done == total for done, total in epochs)
            and not re.search(r"^\S* *epoch \d", self.output, re.MULTILINE)
        )


class Before:
    """The project, its lock and its cache, as they are before DVC runs."""

    def __init__(self, world: World) -> None:
        self.project, self.lock, self.cache = world.project, world.read_lock(), world.cache
        self.objects = {p.parent.name + p.name for p in self.cache.glob("files/md5/*/*")}
        self.intact = {name: self._are_intact(entry) for name, entry in self.lock.items()}

    def are_cached(self, entry: dict[str, Any]) -> bool:
        return all(map(self._is_cached, (out["md5"] for out in entry["outs"])))

    def _is_cached(self, md5: str) -> bool:
        return md5 in self.objects and all(
            row["md5"] in self.objects for row in self._list_rows(md5)
        )

    def _list_rows(self, md5: str) -> list[dict[str, str]]:
        if not md5.endswith(".dir"):
            return []
        rows: list[dict[str, str]] = json.loads(
            (self.cache / "files/md5" / md5[:2] / md5[2:]).read_text()
        )
        return rows

    def _are_intact(self, entry: dict[str, Any]) -> bool:
        """Say whether outs are as the lock has them, and in the cache where they should be."""
        apart = not self.are_cached(entry) and not entry["cmd"].endswith(" plot")
        return not apart and all(
            self._digest(out["path"]) == out["md5"]
            and (out["path"].startswith("reports/") or self._is_cached(out["md5"]))
            and (out["path"] not in CACHED_REPORTS or self._is_cached(out["md5"]))
            for out in entry["outs"]
        )

    def _digest(self, path: str) -> str:
        files, place = list_files(self.project, [path]), self.project / path
        if not place.is_dir():
            return files.get(path, "missing")
        rows = [
            {"md5": value, "relpath": str(Path(name).relative_to(path))}
            for name, value in files.items()
        ]
        text = json.dumps(sorted(rows, key=lambda row: row["relpath"]), sort_keys=True)
        return f"{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}.dir"


@dataclass(frozen=True)
class Step:
    """What came of a change."""

    faults: list[str]  # a line for each
    seen: dict[str, Seen] = field(default_factory=dict)  # by stage

    @property
    def ran(self) -> set[str]:
        return {name for name, seen in self.seen.items() if seen.did == "ran"}

    @property
    def known(self) -> set[str]:
        return {name for name in self.ran if self.seen[name].known}


def step(world: World, refused: bool = False) -> Step:
    """Plan, run, and hold both against the state computed from nothing.

    Args:
        refused: code imports what dvc.yaml does not list.
    """
    before = Before(world)
    try:
        plan, no_plan = make_plan(world.project), ""
    except PipelineError as error:
        plan, no_plan = [], str(error)
    done = run_dvc(world.project, "repro")
    if refused:
        faults = [
            f"REFUSAL {who} does not say {REFUSED!r}: {text[-400:]}"
            for who, text in (("plan", no_plan), ("dvc repro", done.status * done.output))
            if REFUSED not in text
        ]
        return Step(faults)
    if no_plan:
        return Step([f"PLAN none: {no_plan}"])
    if done.status:
        return Step([f"FAILED dvc repro: {done.output[-1500:]}"])
    try:
        results = world.scratch.compute(world.project)
    except StageError as error:
        return Step([f"FAILED from nothing: {str(error)[-1500:]}"])
    seen = read_output(done.output)
    return Step(list(_judge(world, before, plan, seen, results)), seen)


def _judge(
    world: World,
    before: Before,
    plan: list[PlannedStage],
    seen: dict[str, Seen],
    results: dict[str, Result],
) -> Iterator[str]:
    lock, stages = world.read_lock(), read_stages(world.project)
    if {stage.name for stage in stages} != seen.keys():
        yield f"STAGES dvc knows {sorted(seen)}"
        return
    yield from _compare_plan(plan, seen)
    for stage in stages:
        yield from _compare_outs(stage, results[stage.name], world.project)
        inputs = note_inputs(stage, results[stage.name].reading, world.project)
        expected, why = _expect(world, before, stage, inputs)
        did, entry = seen[stage.name].did, lock[stage.name]
        if did != expected:
            yield from _describe(stage, did, expected, why, entry)
        _note(world, Record(stage.name, inputs, entry), did)


def read_output(output: str) -> dict[str, Seen]:
    """Return what `dvc repro` says that it did, by stage."""
    places = [*LINE.finditer(output)]
    ends = [*(place.start() for place in places[1:]), len(output)]
    seen: dict[str, Seen] = {}
    for place, end in zip(places, ends, strict=True):
        did = "skipped" if "didn't change" in place[2] else "ran"
        did = "restored" if "is cached" in place[2] else did
        if place[1] not in seen or did != "skipped":
            seen[place[1]] = Seen(did, output[place.end() : end])
    return seen


def _expect(
    world: World, before: Before, stage: Stage, inputs: Inputs
) -> tuple[str, dict[str, Any] | None]:
    """Return what DVC should do with a stage, and the equal run that it should find."""
    locked = before.lock.get(stage.name)
    known = [each for each in world.entries if (each.stage, each.entry) == (stage.name, locked)]
    if locked and known and known[-1].inputs == inputs:
        if before.intact[stage.name]:
            return "skipped", locked
        return "restored" if before.are_cached(locked) else "ran", locked
    spelt = json.dumps(stage.params, sort_keys=True)
    equal = [
        each.entry
        for each in world.runs
        if each.stage == stage.name
        and each.inputs == inputs
        and json.dumps(each.inputs.params, sort_keys=True) == spelt
    ]
    if equal:
        return "restored" if before.are_cached(equal[-1]) else "ran", equal[-1]
    return "ran", None


def _describe(
    stage: Stage, did: str, expected: str, equal: dict[str, Any] | None, entry: dict[str, Any]
) -> Iterator[str]:
    if did != "ran":
        kind = "MISSED" if expected == "ran" else "OTHERWISE"
        yield f"{kind} {stage.name} was {did}, not {expected}"
        return
    changed = _diff_deps(equal or {}, entry)
    bad = [path for path in changed if not may_be_unread(stage.name, path)]
    if not changed or bad:
        yield f"IN VAIN {stage.name} ran, and should be {expected}; unread: {', '.join(bad)}"


def may_be_unread(stage: str, path: str) -> bool:
    return any(fnmatch(stage, one) and fnmatch(path, other) for one, other in UNREAD)


def _diff_deps(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return the paths of deps whose hashes differ between two entries of dvc.lock."""
    hashes = [{dep["path"]: dep["md5"] for dep in each.get("deps", [])} for each in (old, new)]
    return sorted(path for path in hashes[1] if hashes[0].get(path) != hashes[1][path])


def _compare_outs(stage: Stage, result: Result, project: Path) -> Iterator[str]:
    found = list_files(project, stage.outs)
    for path in sorted(found.keys() | result.outs.keys()):
        if found.get(path) != result.outs.get(path) and not _may_differ(path):
            yield f"MISSED {stage.name}: {path} is not what comes from nothing"


def _may_differ(path: str) -> bool:
    return any(part in DIFFERING for part in Path(path).parts)


def _compare_plan(plan: list[PlannedStage], seen: dict[str, Seen]) -> Iterator[str]:
    verdicts = {planned.name: planned.verdict for planned in plan}
    fitting = {"run": ("ran",), "cached": ("skipped",), "restore": ("restored",)}
    for planned in plan:
        did, known = seen[planned.name].did, seen[planned.name].known
        still_open = [name for name in planned.upstream if verdicts[name] in ("run", "maybe")]
        reasons = "; ".join(planned.reasons)
        if did not in fitting.get(planned.verdict, ("ran", "restored", "skipped")):
            yield f"PLAN {planned.name} {did}, planned: {planned.verdict} ({reasons})"
        if planned.verdict == "maybe" and not still_open:
            yield f"PLAN {planned.name} is maybe, though all before it is certain ({reasons})"
        if planned.verdict == "run" and did == "ran" and known != planned.known and not still_open:
            yield f"PLAN {planned.name} says known={planned.known}, and it was {known}"


def _note(world: World, record: Record, did: str) -> None:
    world.entries.append(record)
    remembered = [(each.stage, each.entry) for each in world.runs]
    if (
        did != "skipped"
        and record.stage != "plot"
        and (record.stage, record.entry) not in (remembered)
    ):
        world.runs.append(record)
