"""What a run would do, and why: each stage's verdict before anything runs.

DVC's own dry run calls everything downstream of a change unchanged and fails while a stage writes.
This reads DVC's graph, lock and caches, carries the hashes that a restored stage would give on to
the stages after it, and decides on each as DVC will.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from dvc.dependency import ParamsDependency
from dvc.lock import LockError
from dvc.output import Output
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import plan_repro
from dvc.scm import SCMError
from dvc.stage import PipelineStage
from dvc.utils import serialize
from dvc_data.hashfile.hash_info import HashInfo

from flows.engine.environment import describe_difference
from flows.engine.forecast import (
    Supply,
    are_cached,
    could_be_known,
    count_bytes,
    find_run,
    foresee,
    is_below,
    read_metrics,
    take_outs,
)
from flows.engine.git import check_readable
from flows.engine.imports import check_closure
from flows.engine.merges import check_merged
from flows.engine.overrides import apply_overrides
from flows.engine.settings import check_params
from flows.engine.work import Work, count_work, find_work
from vision.base.errors import PipelineError
from vision.base.fingerprint import MISSING
from vision.base.memory import name_knobs
from vision.base.params import PARAMS_FILE, flatten, get_value, read_params, read_yaml

Verdict = Literal["cached", "restore", "run", "maybe"]
READING = threading.Lock()  # DVC's project: its objects are not made for threads


@dataclass(frozen=True)
class PlannedStage:
    """A stage of dvc.yaml, or a member of its matrix.

    Attributes:
        verdict: cached: its outs are current; restore: DVC's cache has them; run: it will run;
            maybe: it runs unless the stages before it, run anew, give what they gave before, or
            something with which the cache knows its outs.
        reasons: why it is not cached.
        upstream: names of the stages whose outs it reads.
        meta: what dvc.yaml says under meta.prefect.
    """

    name: str
    verdict: Verdict
    reasons: tuple[str, ...]
    upstream: tuple[str, ...]
    meta: dict[str, Any]
    epochs: int | None = None  # that its params ask for, over all seeds
    epochs_left: int | None = None  # of them, those that no checkpoint has
    known: bool = False  # its result is kept, and comes back in seconds
    bytes: int = 0  # that come back from the cache
    memory: str = ""  # the params that decide how much of it the stage needs
    elsewhere: str = ""  # on what other kind of machine its result was computed


def make_plan(
    root: Path = Path(),
    targets: Sequence[str] = (),
    force: bool = False,
    overrides: Mapping[str, Any] | None = None,
    kept: Path | None = None,
    supply: Supply | None = None,
) -> list[PlannedStage]:
    """Return the stages in an order in which they can run.

    Args:
        targets: stages, with what they need; () means all of dvc.yaml.
        force: say `run` for every stage.
        overrides: values of params to plan with instead of those in params.yaml.
        kept: the project below which trainings keep what they have, if that is not `root`.
        supply: brings what the cache lacks of runs that are wanted.

    Raises:
        PipelineError: DVC cannot read the project, or a target is not a stage.
    """
    check_merged(root)
    params = read_params(root / PARAMS_FILE)
    apply_overrides(params, overrides or {})
    check_params(params, root)
    with READING, _showing(params):
        try:
            with Repo(str(root)) as repo:
                graph = repo.index.graph
                stages = [stage for stage in graph if isinstance(stage, PipelineStage)]
                wanted = _find_targets(stages, targets)
                for stage in stages:
                    check_closure(stage.cmd, {dep.def_path for dep in stage.deps}, root)
                planner = _Planner(repo, root, kept or root, params, force, supply)
                return [
                    planner.plan(stage, sorted(graph.successors(stage), key=_name))
                    for stage in plan_repro(graph, wanted)
                ]
        except SCMError as error:
            check_readable(root)  # with the way out
            raise PipelineError(f"no plan: {error}") from error
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
    """Plans stages one after the other, those upstream first, as DVC will decide on them."""

    def __init__(
        self,
        repo: Repo,
        root: Path,
        kept: Path,
        params: dict[str, Any],
        force: bool,
        supply: Supply | None,
    ) -> None:
        self.repo, self.root, self.kept = repo, root, kept
        self.params = params
        self.force = force
        self.supply = supply
        self.verdicts: dict[str, Verdict] = {}
        self.coming: dict[str, HashInfo] = {}  # outs that DVC will bring back, by path
        self.present: dict[str, HashInfo | None] = {}  # what is on the disk, by path

    def plan(self, stage: PipelineStage, upstream: list[PipelineStage]) -> PlannedStage:
        view = self._look_at(stage, upstream)
        verdict = self._judge(view)
        self.verdicts[_name(stage)] = verdict
        work = Work()
        if verdict == "run" and not view.open and not self.force:
            options = (self.params, view.hashes, self.root, self.kept)
            work = find_work(_name(stage), view.params, *options)
        elif verdict in ("run", "maybe"):
            work = count_work(view.params, self.params)
        return PlannedStage(
            name=_name(stage),
            verdict=verdict,
            reasons=(*view.explain(verdict), *self._describe_parts(view, verdict)),
            upstream=tuple(map(_name, upstream)),
            meta=(stage.meta or {}).get("prefect", {}),
            epochs=work.epochs,
            epochs_left=work.left,
            known=work.known,
            memory=name_knobs(view.params),
            bytes=count_bytes(stage) if verdict == "restore" else 0,
            elsewhere=_find_elsewhere(stage) if verdict in ("cached", "restore") else "",
        )

    def _look_at(self, stage: PipelineStage, upstream: list[PipelineStage]) -> "_View":
        """Compare what a stage's deps will be with what it read when it last ran."""
        view = _View(stage, forced=self.force, lost=_list_lost(stage))
        view.never_ran = not any(dep.hash_info for dep in stage.deps)
        if stage.cmd_changed:
            view.changed.append("its command changed")
        for dep in stage.deps:
            if isinstance(dep, ParamsDependency):
                view.params = self._read(dep)
                view.changed += _diff_params(dep.hash_info.value or {}, view.params)
                continue
            owners = [_name(other) for other in upstream if _overlap(dep, other)]
            still_open = [name for name in owners if self.verdicts[name] in ("run", "maybe")]
            view.open |= dict.fromkeys(still_open)
            if still_open:
                continue
            found = foresee(dep, self.coming, self.present)
            view.hashes[dep.def_path] = (found and found.value) or MISSING
            if found != dep.hash_info:
                text = _describe_change(dep, found, owners, self.verdicts)
                if dep.hash_info and (photos := self._describe_photos(stage, dep)):
                    text = f"{text}: {photos}"
                view.changed.append(text)
        return view

    def _judge(self, view: "_View") -> Verdict:
        if self.force:
            return "run"
        if view.open:
            return "run" if self._is_certain(view) else "maybe"
        if not (view.changed or view.lost):
            return "cached"
        return "restore" if self._restore(view) else "run"

    def _is_certain(self, view: "_View") -> bool:
        """Say whether a stage will run, whatever the stages before it give."""
        if not view.changed:  # dvc.lock's outs come back if the deps turn out to be the same
            return bool(view.lost) and not are_cached(view.stage)
        return not could_be_known(self.repo, view.stage, view.params, view.hashes)

    def _restore(self, view: "_View") -> bool:
        """Say whether DVC would take the outs from its cache; if so, note their hashes."""
        stage = view.stage
        if MISSING in view.hashes.values():
            return False
        if view.changed or not all(out.hash_info for out in stage.outs):
            for dep in stage.deps:
                if isinstance(dep, ParamsDependency):
                    dep.fill_values(self._read(dep))
                else:
                    dep.hash_info = HashInfo("md5", view.hashes[dep.def_path])
            entry = find_run(stage, self.supply)
            if not entry or not take_outs(stage, entry, self.supply):
                return False
        # DVC takes what dvc.lock says, and looks no further
        elif not are_cached(stage, self.supply):
            return False
        self.coming |= {out.fs_path: out.hash_info for out in stage.outs}
        return True

    def _describe_photos(self, stage: PipelineStage, dep: Output) -> str:
        if dep.def_path != self.params.get("data", {}).get("source"):
            return ""
        from flows.engine.photos import describe_photos  # what reads images takes time to load

        return describe_photos(stage, dep, self.params, self.root)

    def _describe_parts(self, view: "_View", verdict: Verdict) -> list[str]:
        """Say of `download` what of a source in several archives it need not decode."""
        source = view.params.get("data", {}).get("source", "")
        if verdict != "run" or not str(source).endswith((".yaml", ".yml")):
            return []
        if not (read_yaml(self.root / source) or {}).get("parts"):
            return []
        from flows.engine.photos import describe_parts  # what reads images takes time to load

        return [describe_parts(view.hashes, self.params, self.root, self.kept)]

    def _read(self, dep: ParamsDependency) -> dict[str, Any]:
        return {key: get_value(self.params, key) for key in dep.params}


@dataclass
class _View:
    """What the plan knows of a stage before it decides."""

    stage: PipelineStage
    forced: bool
    lost: list[str]  # what is wrong with its outs
    changed: list[str] = field(default_factory=list)  # what differs from its last run
    open: dict[str, None] = field(default_factory=dict)  # stages whose outs are not known yet
    hashes: dict[str, str] = field(default_factory=dict)  # of the deps that are known, by path
    params: dict[str, Any] = field(default_factory=dict)
    never_ran: bool = False

    def explain(self, verdict: Verdict) -> list[str]:
        """Return why a stage is not cached."""
        reasons = ["forced"] * self.forced
        reasons += ["it has never run"] if self.never_ran else [*self.changed, *self.lost]
        if verdict == "maybe":
            unless = f"unless {' and '.join(self.open)} gives what it gave before"
            return [*reasons, "its earlier result may be in the cache"] if reasons else [unless]
        return reasons


def group_elsewhere(plan: list[PlannedStage]) -> dict[str, list[str]]:
    """Return the stages whose results come from another kind of machine, by what is said of it."""
    groups: dict[str, list[str]] = {}
    for stage in plan:
        if stage.elsewhere:
            groups.setdefault(stage.elsewhere, []).append(stage.name)
    return groups


def find_stale(root: Path, names: Sequence[str]) -> set[str]:
    """Return which of some stages DVC itself does not hold for up to date.

    Raises:
        PipelineError: another DVC is writing what they read.
    """
    try:
        with READING, Repo(str(root)) as repo, lock_repo(repo):
            stages = filter(lambda stage: isinstance(stage, PipelineStage), repo.index.graph)
            return {_name(each) for each in stages if _name(each) in names and each.status()}
    except LockError as error:
        raise PipelineError(f"DVC is at work in {root}: {error}") from error


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


def _name(stage: PipelineStage) -> str:
    return str(stage.name)


def _overlap(dep: Output, stage: PipelineStage) -> bool:
    ours, theirs = dep.fs_path, [out.fs_path for out in stage.outs]
    return any(is_below(ours, path) or is_below(path, ours) for path in theirs)


def _list_lost(stage: PipelineStage) -> list[str]:
    """Return what is wrong with a stage's outs, on the disk or in the cache."""
    words = {"modified": "changed", "deleted": "is missing", "not in cache": "is not in the cache"}
    return [
        f"{out.def_path} {words.get(word, word)}"
        for out in stage.outs
        for word in out.status().values()
    ]


def _find_elsewhere(stage: PipelineStage) -> str:
    metrics = read_metrics(stage)
    return describe_difference(metrics) if {"torch", "threads"} <= metrics.keys() else ""


def _describe_change(
    dep: Output, found: HashInfo | None, owners: list[str], verdicts: Mapping[str, Verdict]
) -> str:
    restored = [name for name in owners if verdicts[name] == "restore"]
    if restored:
        return f"{' and '.join(restored)} gives something else"
    if not found:
        return f"{dep.def_path} is missing"
    return f"{dep.def_path} {'changed' if dep.hash_info else 'is new'}"


def _diff_params(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for key in new:
        before, after = (dict(flatten({key: params.get(key)})) for params in (old, new))
        for path in dict.fromkeys([*before, *after]):
            if before.get(path) != after.get(path):
                yield f"{path}: {before.get(path, 'unset')} -> {after.get(path, 'unset')}"
