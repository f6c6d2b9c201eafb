"""The worker's side: bring a tree and a stage's deps, run the stage, send its outs, answer.

A worker started by `pipeline work POOL` in a clone runs this flow for each stage that is placed in
its pool. It trusts nothing but hashes, and works in a tree of its own, on its clone's cache.
"""

import math
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from flows.engine.environment import describe_here
from flows.engine.names import hold_name, make_name
from flows.engine.patience import RESULT_S, insist, is_for_someone
from flows.engine.repro import Outcome, repro
from flows.engine.tree import TREES, bring_downloads, check_out, remove_tree
from flows.orchestration import slots
from flows.orchestration.refusals import in_one_line
from flows.orchestration.signs import sign
from flows.orchestration.stopping import find_stop, stoppable
from flows.placing.beats import beating, conclude
from flows.placing.checkpoints import find_checkpoints, forget, travelling
from flows.placing.entries import list_deps, list_outs, read_stage
from flows.placing.gpus import hold_gpu, read_gpu_names
from flows.placing.objects import RefusedError, Store, open_store
from flows.placing.orders import ANSWER, LINES, Answer, Order, check_same, hash_packages
from flows.placing.part_worker import answer_part
from flows.placing.parts import bring_parts, drop_others
from flows.placing.trees import bring_tree
from vision.base.errors import PipelineError

REFUSED = "Refused"  # name of the state

slots.install()


class Clock:
    """Seconds of each step, by name."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self.last = time.monotonic()

    def note(self, step: str) -> None:
        now = time.monotonic()
        self.steps[step] = round(now - self.last, 2)
        self.last = now


@flow(name="stage")
@in_one_line
def stage(order: Order) -> State[Any]:
    """Run one stage for another clone, and answer with its entry in dvc.lock."""
    clock = Clock()
    with stoppable(), beating():
        sign()
        try:
            check_packages(order)
            with _choose_tree(order) as tree:
                clock.note("tree")
                return _answer(order, tree, clock)
        except PipelineError as error:
            name = REFUSED if isinstance(error, RefusedError) else None
            return Failed(name=name, message=f"{socket.gethostname()}: {error}")
    return Cancelled(message="the worker was told to end")


def check_packages(order: Order) -> None:
    """Refuse to compute with other packages than the sender has.

    Raises:
        RefusedError: the lock file of this clone differs.
    """
    ours = hash_packages()
    if ours != order.packages:
        way_out = "bring its clone up to date and install it anew, or run the stage at home"
        raise RefusedError(
            f"the worker's requirements.lock is {ours[:8] or 'missing'}, "
            f"the sender's {order.packages[:8] or 'missing'}: {way_out}"
        )


@contextmanager
def _choose_tree(order: Order) -> Iterator[Path]:
    """Yield a worktree of what was sent; it is removed again."""
    insist(partial(bring_tree, order), find_stop(), get_run_logger().info)
    name = make_name(str(flow_run.get_name() or "placed"))
    with hold_name(name):
        place = TREES / name
        tree = check_out(place, order.commit)
        try:
            bring_downloads(tree, Path())
            yield tree
        finally:
            remove_tree(place)


def _answer(order: Order, tree: Path, clock: Clock) -> State[Any]:
    with open_store(tree) as store:
        received = bring_deps(store, order, tree)
        clock.note("deps")
        if order.part:
            return answer_part(order, tree, store)
        tell = get_run_logger().info
        bring_parts(store, order, tree, tell)
        places = find_checkpoints(order, tree, Path())
        with travelling(store, places, tell):
            state = run_there.with_options(
                name=order.stage, task_run_name=order.stage, tags=order.tags
            )(order, tree, return_state=True)
        if not state.is_completed():
            return type(state)(type=state.type, name=state.name, message=state.message)
        outcome, seconds = state.result()
        clock.note("stage")
        entry = read_lock(tree, order.stage)
        push = partial(store.push, list_outs(entry))
        sent = insist(push, find_stop(), tell, RESULT_S, may_pass=is_for_someone)
        forget(store, places, tell)
        drop_others(store, order, tree, tell)
        clock.note("outs")
    answer = Answer(
        entry=entry,
        outcome=outcome,
        seconds=round(seconds, 2),
        steps=clock.steps,
        received=received,
        sent=sent,
        host=socket.gethostname(),
        machine=describe_here() | {"gpus": read_gpu_names()},
    )
    create_markdown_artifact(answer.model_dump_json(), key=ANSWER, description=order.stage)
    return Completed(message=f"{order.stage}: {outcome} in {seconds:.1f} s")


def bring_deps(store: Store, order: Order, tree: Path) -> int:
    """Fetch what a stage reads and git does not hold, and compare all that it reads.

    Raises:
        RefusedError: it is not what the sender has.
    """
    hashes = list_deps(order.entry)
    held = [hashes[path] for path in order.held]
    moved = insist(lambda: store.pull(held), find_stop(), get_run_logger().info)
    for path in order.held:
        store.check_out(tree / path, hashes[path])
    try:
        found = read_stage(store, order.stage).entry
    except PipelineError as error:
        raise RefusedError(f"{error} (what neither git nor DVC holds does not travel)") from error
    check_same(order.entry, found)
    return moved


@task(cache_policy=NO_CACHE, persist_result=False)
def run_there(order: Order, tree: Path) -> Any:
    """Run the stage, holding the slots of its tags."""
    logger = get_run_logger().getChild(LINES)  # type: ignore[union-attr]
    if find_stop().is_set():
        return Cancelled(message="the worker was told to end")

    def run_stage() -> Outcome:
        with hold_gpu(order.tags, find_stop(), logger.info):
            return repro(
                tree,
                order.stage,
                force=order.force,
                timeout_s=order.timeout_s or math.inf,
                stop=find_stop(),
                on_line=logger.info,
                memory=order.memory,
            )

    return conclude(run_stage)


def read_lock(tree: Path, name: str) -> dict[str, Any]:
    """Return a stage's entry in a tree's dvc.lock."""
    lock = yaml.safe_load((tree / "dvc.lock").read_text(encoding="utf-8"))
    return dict(lock["stages"][name])
