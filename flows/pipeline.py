"""The pipeline as a Prefect flow: a task for each stage of dvc.yaml, as DVC's graph has them.

The graph, the tags, the retries and the timeouts are read from dvc.yaml when a run starts. DVC
alone decides what is current: a task runs `dvc repro --single-item STAGE` in a process of its own.
"""

import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from prefect import Task, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from flows.engine.checks import check_run
from flows.engine.durations import record
from flows.engine.names import check_free, hold_name, make_name
from flows.engine.overrides import parse_overrides, set_params
from flows.engine.patience import insist
from flows.engine.plan import PlannedStage, find_stale, make_plan
from flows.engine.repro import TIMED_OUT, Outcome, StageFailedError, StoppedError, repro
from flows.engine.tree import (
    TREES,
    bring_files,
    list_uncommitted,
    make_tree,
    remove_tree,
    run_dvc,
    save_experiment,
)
from flows.engine.tree import (
    publish as publish_branch,
)
from flows.orchestration import recording, slots
from flows.orchestration.artifacts import EpochProgress, publish_plan, publish_results
from flows.orchestration.refusals import in_one_line
from flows.orchestration.signs import sign
from flows.orchestration.stopping import Stop, find_stop, stoppable
from flows.placing.part_sender import place_parts
from flows.placing.places import check_places, name_there, place_stages
from flows.placing.sender import Placed, Sender
from flows.placing.sharing import bring_results, send_results
from vision.base.errors import PipelineError
from vision.base.processor import count_cores

PAGES = Path(".dvc/tmp/reports")
RESULTS = ("reports/metrics.json", "reports/report.html")  # git keeps the first alone
ENDED = "the run was told to end"
LAST_LOOKS = 3  # at what DVC holds for current, each time after running what it did not
STATE_NAMES = {"cached": "Cached", "restored": "Restored", "ran": "Completed"}

recording.install()
slots.install()


@dataclass(frozen=True)
class Run:
    """What the tasks of one flow run share."""

    root: Path  # the project, where durations are kept
    tree: Path  # where the stages run: the project itself or a worktree
    force: bool
    slots: threading.Semaphore
    threads: int | None
    stop: Stop
    pools: Mapping[str, str]  # of the stages that run elsewhere


@flow(name="pipeline", validate_parameters=True)
@in_one_line
def pipeline(
    targets: list[str] | None = None,
    set: list[str] | None = None,
    force: bool = False,
    isolated: bool = False,
    name: str | None = None,
    jobs: int | None = None,
    pull: bool = False,
    push: bool = False,
    publish: str | None = None,
    replace: bool = False,
    place: list[str] | None = None,
) -> State[Any]:
    """Bring the pipeline up to date.

    Args:
        targets: stages of dvc.yaml, with what they need; none means all.
        set: changed params, `section.key=value`. Runs as an experiment: your params.yaml stays.
        force: run every stage, current or not.
        isolated: run in a git worktree of its own and keep the result as a DVC experiment; so do
            runs with `set` or `publish`.
        name: of the experiment; by default the flow run's.
        jobs: stages side by side at most; by default as many as there are cores, up to 4.
        pull: first fetch what a DVC remote has of the results that are wanted.
        push: afterwards send it those that it lacks.
        publish: commit params.yaml, dvc.lock and reports/ to this branch, with code that is not
            committed. No one may have it checked out.
        replace: let the experiment take the place of one of the same name.
        place: `STAGE=POOL`, the work pool in which a stage runs, or `STAGE=home`; by default what
            dvc.yaml says under meta.prefect.pool.
    """
    root = Path.cwd()
    overrides = parse_overrides(set or [])
    check_run(root, targets or (), overrides, jobs)
    places = check_places(place or [], root)
    chosen = name or make_name(str(flow_run.get_name()))
    own_tree = bool(isolated or overrides or publish)
    if own_tree:
        tried_again = (flow_run.get_run_count() or 1) > 1
        check_free(chosen, publish, replace=replace or tried_again)
    with stoppable() as stop, _choose_tree(root, own_tree, chosen) as tree:
        sign()
        uncommitted = list_uncommitted(tree) if publish else []
        set_params(tree, overrides)
        bring_files(tree, root)
        look = partial(bring_results if pull else make_plan, tree, tuple(targets or ()), force)
        tell = get_run_logger().warning
        plan = insist(partial(look, kept=root), stop, tell)
        publish_plan(plan, root)
        states = run_plan(plan, root, tree, force, jobs, places)
        states |= run_missed(plan, states, root, tree, jobs, places)
        if stop.is_set():
            return Cancelled(message=ENDED)
        failures = [str(state.message) for state in states.values() if _failed(state)]
        if not failures and all((tree / path).exists() for path in RESULTS):
            is_new = any(state.name != STATE_NAMES["cached"] for state in states.values())
            publish_results(tree, _keep_page(tree, root, chosen), is_new)
        if tree != root:
            _save(tree, chosen)
        is_good = not failures
        if push:
            failures += _try(lambda: insist(partial(send_results, tree), stop, tell))
        if publish and is_good:
            failures += _try(lambda: _publish(tree, publish, chosen, uncommitted))
        return _conclude(states, failures)
    return Cancelled(message=ENDED)  # by Ctrl-C


def _conclude(states: dict[str, State[Any]], failures: list[str]) -> State[Any]:
    if failures:
        return Failed(message="; ".join(failures))
    ran = [key for key, state in states.items() if state.name == "Completed"]
    return Completed(
        message=f"{len(ran)} of {len(states)} stages ran" + f": {', '.join(ran)}" * bool(ran)
    )


def run_plan(
    plan: list[PlannedStage],
    root: Path,
    tree: Path,
    force: bool,
    jobs: int | None,
    places: Mapping[str, str] | None = None,
) -> dict[str, State[Any]]:
    """Run a plan's stages as tasks and return the state in which each ended."""
    cores = count_cores()
    jobs = jobs or min(4, cores)
    run = Run(
        root=root,
        tree=tree,
        force=force,
        slots=threading.Semaphore(jobs),
        threads=max(1, cores // jobs) if jobs > 1 else None,
        stop=find_stop(),
        pools=place_stages(plan, places or {}),
    )
    futures: dict[str, PrefectFuture[Any]] = {}
    try:
        for stage in plan:
            upstream = [futures[other] for other in stage.upstream if other in futures]
            made = make_task(stage, run.pools.get(stage.name, ""))
            futures[stage.name] = made.submit(run, stage, wait_for=upstream)
        wait(list(futures.values()))
    except BaseException:
        run.stop.set()
        wait(list(futures.values()))  # a tree of their own is removed next
        raise
    return {key: future.state for key, future in futures.items()}


def run_missed(
    plan: list[PlannedStage],
    states: dict[str, State[Any]],
    root: Path,
    tree: Path,
    jobs: int | None,
    places: Mapping[str, str],
) -> dict[str, State[Any]]:
    """Ask DVC in the end whether all is current, run what is not, and return how that ended.

    The plan foresees what DVC will find. Where it was wrong, or a file was edited meanwhile, DVC is
    right.
    """
    ended: dict[str, State[Any]] = {}
    for _ in range(LAST_LOOKS):
        if any(map(_failed, (states | ended).values())):
            break
        try:
            stale = find_stale(tree, [stage.name for stage in plan])
        except PipelineError as error:
            get_run_logger().warning("not asked whether all is current: %s", error)
            break
        missed = [replace(stage, verdict="run") for stage in plan if stage.name in stale]
        if not missed:
            break
        names = ", ".join(stage.name for stage in missed)
        get_run_logger().warning("not up to date after all, says DVC: %s", names)
        ended |= run_plan(missed, root, tree, False, jobs, places)
    return ended


def make_task(stage: PlannedStage, pool: str = "") -> Task[..., Any]:
    """Return the task of a stage, with what dvc.yaml says of it under meta.prefect.

    That of a stage which runs in a pool has no tags: its worker takes the slots, and one that both
    were to take could be had by neither.
    """
    due = stage.verdict != "cached" and not pool

    def is_worth_it(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
        return may_succeed_again(stage, state)

    return run_stage.with_options(
        name=stage.name,
        task_run_name=stage.name,
        tags=stage.meta.get("tags", []) if due else [],
        retries=stage.meta.get("retries", 0),
        retry_delay_seconds=stage.meta.get("retry_delay_seconds", 10),
        retry_condition_fn=is_worth_it,
    )


def may_succeed_again(stage: PlannedStage, state: State[Any]) -> bool:
    """Say whether a failed stage is worth another try.

    A stage that ends with status 1 has said what is wrong and will say it again, unless it was the
    network; one that took too long will take as long again. A killed one may do better.
    """
    status = state.data.status if isinstance(state.data, StageFailedError) else None
    return status not in (None, 1, TIMED_OUT) or "network" in stage.meta.get("tags", [])


@task(cache_policy=NO_CACHE, persist_result=False)
def run_stage(run: Run, stage: PlannedStage) -> State[Any]:
    """Run one stage and end in a state whose name says what that took."""
    if stage.verdict == "cached":
        return Completed(name=STATE_NAMES["cached"], message="its outs are current")
    started = time.monotonic()
    try:
        placed = place_stage(run, stage)
        with run.slots:
            if run.stop.is_set():
                return Cancelled(message=ENDED)
            started = started if placed else time.monotonic()
            outcome = run_at_home(run, stage, force=run.force and not placed)
    except StoppedError:
        return Cancelled(message=ENDED)
    except StageFailedError as error:
        return Failed(message=str(error), data=error)
    seconds = time.monotonic() - started
    if placed:
        return conclude_placed(run, stage, placed, seconds)
    if outcome != "cached":
        record(stage, outcome, seconds, run.root, run.tree)
    return Completed(name=STATE_NAMES[outcome], message=f"{outcome} in {seconds:.1f} s")


def place_stage(run: Run, stage: PlannedStage) -> Placed | None:
    """Have a stage done elsewhere, if it is to be and nothing here has its result."""
    pool = run.pools.get(stage.name, "")
    if not pool or run.stop.is_set():
        return None
    if not run.force:
        now = make_plan(run.tree, (stage.name,), kept=run.root)[-1]
        if now.verdict != "run" or now.known:
            return None
    logger, on_line = get_run_logger(), _listen(stage)
    sender = Sender(run.tree, stage, pool, run.force, run.stop, logger.info, on_line)
    if not run.force:
        place_parts(sender)
    return sender.place()


def conclude_placed(run: Run, stage: PlannedStage, placed: Placed, seconds: float) -> State[Any]:
    """Note what a stage took that ran elsewhere, and return how it ended."""
    there, outcome = run.pools[stage.name], placed.answer.outcome
    record(replace(stage, name=name_there(stage.name, there)), outcome, seconds, run.root)
    return Completed(
        name=STATE_NAMES[outcome], message=f"{placed.describe()}; {seconds:.1f} s in all"
    )


def run_at_home(run: Run, stage: PlannedStage, *, force: bool) -> Outcome:
    """Bring a stage up to date here."""
    return repro(
        run.tree,
        stage.name,
        force=force,
        threads=run.threads,
        timeout_s=stage.meta.get("timeout_seconds", math.inf),
        stop=run.stop,
        on_line=_listen(stage),
        memory=stage.memory,
    )


def _listen(stage: PlannedStage) -> Callable[[str], None]:
    """Return what takes the lines of a stage into the log, and its epochs into a bar."""
    logger, progress = get_run_logger(), EpochProgress(stage.name)

    def listen(line: str) -> None:
        logger.info(line)
        progress.read(line)

    return listen


@contextmanager
def _choose_tree(root: Path, isolated: bool, name: str) -> Iterator[Path]:
    """Yield the project itself, or a worktree with its params and data that is removed again."""
    if not isolated:
        yield root
        return
    place = root / TREES / name
    with hold_name(name):
        tree = make_tree(place)
        try:
            run_dvc(tree, "checkout", "--quiet", "--allow-missing")
            yield tree
        finally:
            remove_tree(place)


def _publish(tree: Path, branch: str, name: str, uncommitted: list[str]) -> None:
    commit = publish_branch(tree, branch, f"Record the run {name}")
    changes = f", with what was not committed: {', '.join(uncommitted)}" * bool(uncommitted)
    get_run_logger().info("%s: %s%s", branch, commit or "nothing new", changes)


def _try(step: Callable[[], object]) -> list[str]:
    """Return why a step after the run failed, or nothing; the others do not depend on it."""
    try:
        step()
    except PipelineError as error:
        return [str(error)]
    return []


def _keep_page(tree: Path, root: Path, name: str) -> Path:
    """Return the HTML report's path; that of a tree is copied out, as the tree goes."""
    page = tree / "reports/report.html"
    if tree == root:
        return page
    kept = root / PAGES / f"{name}.html"
    kept.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(page, kept))


def _save(tree: Path, name: str) -> None:
    """Keep a tree's results as a DVC experiment, if they are all current.

    One that has not run would be shown with the params of this run and the outs of others.
    """
    stale = [stage.name for stage in make_plan(tree) if stage.verdict != "cached"]
    if stale:
        get_run_logger().warning("no experiment %s: %s not up to date", name, ", ".join(stale))
    else:
        save_experiment(tree, name)


def _failed(state: State[Any]) -> bool:
    return state.is_failed() or state.is_crashed() or state.is_cancelled()
