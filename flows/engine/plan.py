"""What a run would do, and why: each stage's verdict before anything runs.

DVC's own dry run calls everything downstream of a change unchanged and fails while a stage writes.
This reads DVC's graph, lock and run cache and carries the hashes that a restored stage would give
on to the stages after it. DVC has no public interface for that: this module alone touches its
private one, dvc is pinned, and the tests hold the plan to what DVC then runs.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from dvc.dependency import ParamsDependency
from dvc.output import Output
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro
from dvc.stage import PipelineStage
from dvc.stage.cache import _get_cache_hash
from dvc.stage.serialize import to_single_stage_lockfile
from dvc.utils import serialize
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta

from flows.engine.overrides import apply_overrides
from vision.base.errors import PipelineError
from vision.base.params import PARAMS_FILE, flatten, get_value, read_params

Verdict = Literal["cached", "restore", "run", "maybe"]
_PLANNING = threading.Lock()  # DVC's objects are not made for threads


@dataclass(frozen=True)
class PlannedStage:
    """A stage of dvc.yaml, or a member of its matrix.

    Attributes:
        verdict: cached: its outs are current; restore: DVC's cache has them; run: it will run;
            maybe: it runs unless the stages before it, run anew, give what they gave before.
        reasons: why it is not cached.
        upstream: names of the stages whose outs it reads.
        meta: what dvc.yaml says under meta.prefect.
    """

    name: str
    verdict: Verdict
    reasons: tuple[str, ...]
    upstream: tuple[str, ...]
    meta: dict[str, Any]
    epochs: int | None  # that its params ask for, repeats included


def make_plan(
    root: Path = Path(),
    targets: Sequence[str] = (),
    force: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> list[PlannedStage]:
    """Return the stages in an order in which they can run.

    Args:
        targets: stages, with what they need; () means all of dvc.yaml.
        force: say `run` for every stage.
        overrides: values of params to plan with instead of those in params.yaml.

    Raises:
        PipelineError: DVC cannot read the project, or a target is not a stage.
    """
    params = read_params(root / PARAMS_FILE)
    apply_overrides(params, overrides or {})
    with _PLANNING, _showing(params):
        try:
            with Repo(str(root)) as repo:
                graph = repo.index.graph
                stages = [stage for stage in graph if isinstance(stage, PipelineStage)]
                wanted = _find_targets(stages, targets)
                planner = _Planner(repo, params, force)
                return [
                    planner.plan(stage, sorted(graph.successors(stage), key=_name))
                    for stage in plan_repro(graph, wanted)
                ]
        except Exception as error:
            if type(error).__module__.partition(".")[0] != "dvc":
                raise
            raise PipelineError(f"no plan: {error}") from error


@contextmanager
def _showing(params: dict[str, Any]) -> Iterator[None]:
    """Let DVC fill in dvc.yaml, its matrices above all, from these params."""
    load = serialize.load_path

    def load_shown(path: str, *args: Any, **options: Any) -> Any:
        return params if Path(path).name == PARAMS_FILE.name else load(path, *args, **options)

    with mock.patch.object(serialize, "load_path", load_shown):
        yield


class _Planner:
    """Plans stages one after the other, those upstream first."""

    def __init__(self, repo: Repo, params: dict[str, Any], force: bool) -> None:
        self.repo = repo
        self.params = params
        self.force = force
        self.verdicts: dict[str, Verdict] = {}
        self.restored: dict[str, HashInfo] = {}  # outs that DVC will bring back, by path
        self.moved: set[str] = set()  # restored stages whose outs are not those of dvc.lock

    def plan(self, stage: PipelineStage, upstream: list[PipelineStage]) -> PlannedStage:
        reasons, unknown = self._find_reasons(stage, upstream)
        verdict = self._judge(stage, reasons, unknown)
        self.verdicts[_name(stage)] = verdict
        if verdict == "maybe":
            reasons = [f"unless {' and '.join(unknown)} gives what it gave before"]
        return PlannedStage(
            name=_name(stage),
            verdict=verdict,
            reasons=tuple(reasons),
            upstream=tuple(map(_name, upstream)),
            meta=(stage.meta or {}).get("prefect", {}),
            epochs=_find_epochs({k: v for dep in stage.params for k, v in self._read(dep).items()}),
        )

    def _find_reasons(
        self, stage: PipelineStage, upstream: list[PipelineStage]
    ) -> tuple[list[str], list[str]]:
        """Return why the stage is out of date, and the stages upstream that leave it open."""
        reasons = ["forced"] if self.force else []
        if stage.cmd_changed:
            reasons.append("its command changed")
        unknown: dict[str, None] = {}
        never_ran = not any(dep.hash_info for dep in stage.deps)
        for dep in stage.deps:
            owners = [_name(other) for other in upstream if _overlap(dep, other)]
            still_open = [name for name in owners if self.verdicts[name] in ("run", "maybe")]
            unknown |= dict.fromkeys(still_open)
            if not (still_open or never_ran):
                reasons += self._compare(dep, owners)
        if never_ran:
            return ["it has never run"], list(unknown)
        for out in stage.outs:
            reasons += _describe_status(out)
        return reasons, list(unknown)

    def _compare(self, dep: Output, owners: list[str]) -> list[str]:
        """Return how a dep will differ from what the stage read when it last ran."""
        if isinstance(dep, ParamsDependency):
            return list(_diff_params(dep.hash_info.value or {}, self._read(dep)))
        if dep.fs_path in self.restored:
            same = self.restored[dep.fs_path] == dep.hash_info
            return [] if same else [f"{dep.def_path} will be another"]
        if any(self.verdicts[name] == "restore" for name in owners):
            return [f"{name} gives something else" for name in owners if name in self.moved]
        return _describe_status(dep)

    def _judge(self, stage: PipelineStage, reasons: list[str], unknown: list[str]) -> Verdict:
        if not reasons:
            return "maybe" if unknown else "cached"
        if self.force or unknown:
            return "run"
        return "restore" if self._restore(stage) else "run"

    def _restore(self, stage: PipelineStage) -> bool:
        """Say whether DVC would take the outs from its cache; if so, note their hashes."""
        for dep in stage.deps:
            if dep.fs_path in self.restored:
                dep.hash_info = self.restored[dep.fs_path]
            elif isinstance(dep, ParamsDependency):
                dep.fill_values(self._read(dep))
            elif dep.status():
                if not dep.exists:
                    return False
                dep.hash_info = dep.get_hash()
        recorded = {out.fs_path: out.hash_info for out in stage.outs}
        if not _take_earlier_run(self.repo, stage):
            return False
        restored = {out.fs_path: out.hash_info for out in stage.outs}
        self.restored |= restored
        if restored != recorded:
            self.moved.add(_name(stage))
        return True

    def _read(self, dep: ParamsDependency) -> dict[str, Any]:
        return {key: get_value(self.params, key) for key in dep.params}


def _find_targets(stages: list[PipelineStage], targets: Sequence[str]) -> list[PipelineStage]:
    """Return the stages that the targets name; `evaluate` means all members of its matrix."""
    names = {_name(stage): stage for stage in stages}
    chosen: dict[str, PipelineStage] = {} if targets else names
    for target in targets:
        found = {n: s for n, s in names.items() if target in (n, n.partition("@")[0])}
        if not found:
            raise PipelineError(f"there is no stage {target!r}; there are {', '.join(names)}")
        chosen |= found
    return list(chosen.values())


def _take_earlier_run(repo: Repo, stage: PipelineStage) -> bool:
    """Give the stage the hashes of its last run with the same deps, if the cache has its outs."""
    for item in (*stage.deps, *stage.outs):
        item.meta = Meta()  # a lock's meta repeats the hash, perhaps an older one
    runs = repo.stage_cache
    key = _get_cache_hash(to_single_stage_lockfile(stage), key=True)
    entries = Path(runs._get_cache_dir(key)).glob("*")
    newest = max(entries, key=lambda path: path.stat().st_mtime, default=None)
    entry = newest and runs._load_cache(key, newest.name)
    if not entry:
        return False
    hashes = {out["path"]: out["md5"] for out in entry["outs"]}
    for out in stage.outs:
        out.clear()
        out.hash_info = HashInfo("md5", hashes[out.def_path])
        out.use_cache = True  # the run cache keeps outs that the workspace does not
    return bool(stage.outs_cached())


def _name(stage: PipelineStage) -> str:
    return str(stage.name)


def _overlap(dep: Output, stage: PipelineStage) -> bool:
    ours = Path(dep.fs_path)
    theirs = [Path(out.fs_path) for out in stage.outs]
    return any(ours.is_relative_to(path) or path.is_relative_to(ours) for path in theirs)


def _describe_status(item: Output) -> list[str]:
    words = {"modified": "changed", "deleted": "is missing", "not in cache": "is not in the cache"}
    return [f"{item.def_path} {words.get(word, word)}" for word in item.status().values()]


def _diff_params(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for key in new:
        before, after = (dict(flatten({key: params.get(key)})) for params in (old, new))
        for path in dict.fromkeys([*before, *after]):
            if before.get(path) != after.get(path):
                yield f"{path}: {before.get(path, 'unset')} -> {after.get(path, 'unset')}"


def _find_epochs(params: dict[str, Any]) -> int | None:
    """Return the epochs, over all seeds, that a recipe among a stage's params asks for."""
    for value in params.values():
        if isinstance(value, dict) and isinstance(value.get("epochs"), int):
            repeats = value.get("repeats")
            return int(value["epochs"]) * (1 + (repeats if isinstance(repeats, int) else 0))
    return None
