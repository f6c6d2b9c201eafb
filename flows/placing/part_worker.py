"""The worker's side of a part: fetch and decode one archive of a source, and send what it gave."""

import math
import socket
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed

from flows.engine.environment import describe_here
from flows.engine.patience import RESULT_S, Tell, insist, is_for_someone
from flows.engine.repro import (
    KILLED,
    TIMED_OUT,
    Outcome,
    StageFailedError,
    count_memory_kills,
    describe_kill,
    run_supervised,
)
from flows.engine.tree import make_environment
from flows.orchestration.stopping import find_stop
from flows.placing.beats import conclude
from flows.placing.objects import RefusedError, Store
from flows.placing.orders import ANSWER, LINES, Answer, Order
from flows.placing.parts import PartShelf, find_parts, name_parts
from flows.placing.turns import wait_for_one
from vision.base.kept import CHECKPOINTS
from vision.data.parts import find_kept

ERROR = "error: "  # before what a stage says of itself
AT_ONCE = 2  # on one machine: one part is fetched while another is decoded


def answer_part(order: Order, tree: Path, store: Store) -> State[Any]:
    """Decode the part that is asked for and send what it gave, unless the remote has it."""
    name = name_parts(find_parts(order.stage, tree), order.entry, tree).get(order.part, "")
    if not (name and (place := find_kept(name))):
        why = f"{CHECKPOINTS} is set to nothing there" if name else "the source has none"
        raise RefusedError(f"{order.title}: {why}")
    shelf, tell = PartShelf(store), get_run_logger().info
    outcome: Outcome = "cached"
    seconds = 0.0
    if not insist(lambda: shelf.has(name), find_stop(), tell):
        decode = decode_there.with_options(
            name=order.title, task_run_name=order.title, tags=order.tags
        )
        state = decode(order, tree, return_state=True)
        if not state.is_completed():
            return type(state)(type=state.type, name=state.name, message=state.message)
        outcome, (_, seconds) = "ran", state.result()
        send = partial(shelf.send, place)
        insist(send, find_stop(), tell, RESULT_S, may_pass=is_for_someone)
    answer = Answer(
        entry={},
        outcome=outcome,
        seconds=round(seconds, 2),
        steps={},
        received=0,
        sent=sum(file.stat().st_size for file in place.glob("*")) if seconds else 0,
        host=socket.gethostname(),
        machine=describe_here(),
    )
    create_markdown_artifact(answer.model_dump_json(), key=ANSWER, description=order.title)
    return Completed(message=f"{order.title}: {outcome} in {seconds:.1f} s")


@task(cache_policy=NO_CACHE, persist_result=False)
def decode_there(order: Order, tree: Path) -> Any:
    """Run the command that decodes a part, holding the slots of its tags."""
    logger, stop = get_run_logger().getChild(LINES), find_stop()  # type: ignore[union-attr]
    lock = wait_for_one("places", [str(number) for number in range(AT_ONCE)], stop, logger.info)
    if not lock:
        return Cancelled(message="the worker was told to end")
    with lock:
        return conclude(partial(run_part, order, tree, stop, logger.info))


def run_part(order: Order, tree: Path, stop: threading.Event, on_line: Tell) -> None:
    """Run `python -m stages.part` in a tree.

    Raises:
        StageFailedError: with its own words.
        StoppedError: `stop` was set.
    """
    said, kills = [""], count_memory_kills()
    command, environment = ["stages.part", str(order.part)], make_environment()
    limit = math.inf if order.timeout_s is None else order.timeout_s
    listeners, deadline = [said.append, on_line], time.monotonic() + limit
    status = run_supervised(tree, command, environment, listeners, stop, deadline)
    errors = [line.removeprefix(ERROR) for line in said if line.startswith(ERROR)]
    if status == TIMED_OUT:
        raise StageFailedError(order.stage, f"not done after {limit:g} s: stopped", status)
    if status in KILLED:
        why = describe_kill(count_memory_kills() > kills, order.memory, said[-1])
        raise StageFailedError(order.stage, why, status)
    if status:
        why = errors[-1] if errors else f"it ended with status {status}: {said[-1]}"
        raise StageFailedError(order.stage, why, status)
