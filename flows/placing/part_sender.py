"""The sender's side of a data set in several archives: a run in the pool for each, some at a time.

What a part gave lies in DVC's remote and is found there by whoever wants it next: another try, a
sender that starts again, the worker that joins them all.
"""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from prefect import get_run_logger, task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.futures import wait
from prefect.states import Cancelled, Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.engine.patience import insist
from flows.engine.repro import StageFailedError, StoppedError
from flows.orchestration.asking import ask_patiently
from flows.placing.entries import Entry, read_stage
from flows.placing.foreseen import describe_bytes
from flows.placing.objects import RefusedError, Store, open_store
from flows.placing.orders import Order
from flows.placing.parts import PartShelf, find_parts, name_parts
from flows.placing.runs import read_answer
from flows.placing.sender import Placed, Sender, failing
from flows.placing.trees import drop_tree
from vision.base.errors import PipelineError
from vision.data.described import Part

AT_ONCE = 16  # runs that are followed; the Prefect server answers more of them later, not sooner
MOST_SAID = 3  # failures, in a line


@dataclass
class PartSender(Sender):
    """Has a worker of a pool decode one part.

    Attributes:
        name: under which it is kept.
    """

    order: Order
    name: str

    def _place(self, store: Store, client: SyncPrefectClient) -> Placed:
        return self._try(store, client, self.order)

    def _make_key(self, order: Order) -> str:
        return f"{self.pool}-{self.name}-{order.packages[:16]}"

    def _take(self, store: Store, entry: Entry, client: SyncPrefectClient, run: FlowRun) -> Placed:
        if not (run.state and run.state.is_completed()):
            return super()._take(store, entry, client, run)
        answer = ask_patiently(lambda: read_answer(client, run), self.stop)
        there = insist(lambda: PartShelf(store).has(self.name), self.stop, self.tell)
        if not (answer and there):
            raise RefusedError(f"the run {run.name} has left nothing in DVC's remote")
        return Placed(answer, self.sent, 0)


@dataclass(frozen=True)
class Group:
    """What the tasks of the parts share."""

    sender: Sender
    order: Order
    parts: Mapping[int, Part]  # that are wanted, by number
    names: Mapping[int, str]  # under which they are kept
    ended: threading.Event = field(default_factory=threading.Event)  # no more are begun

    def make_sender(self, number: int) -> PartSender:
        logger, sender = get_run_logger(), self.sender
        return PartSender(
            tree=sender.tree,
            stage=sender.stage,
            pool=sender.pool,
            force=False,
            stop=sender.stop,
            tell=logger.info,
            on_line=logger.info,
            order=self.order.model_copy(update={"part": number}),
            name=self.names[number],
        )


def place_parts(sender: Sender) -> None:
    """Have workers decode what DVC's remote lacks of the archives that a stage downloads.

    Nothing, where its source is no such data set.

    Raises:
        StageFailedError: naming the parts that failed, each with its address and why.
        StoppedError: the run was told to end.
    """
    with failing(sender.stage.name):
        if not (parts := find_parts(sender.stage.name, sender.tree)):
            return
        with open_store(sender.tree) as store:
            if group := _prepare(store, sender, parts):
                _run(store, group)


def _prepare(store: Store, sender: Sender, parts: Sequence[Part]) -> Group | None:
    """Send what the workers need, if a part is not there already, and count those that are."""
    reading = read_stage(store, sender.stage.name)
    names, shelf = name_parts(parts, reading.entry, sender.tree), PartShelf(store)

    def find_missing() -> dict[int, Part]:
        return {part.number: part for part in parts if not shelf.has(names[part.number])}

    missing = insist(find_missing, sender.stop, sender.tell)
    sender.tell(f"{len(parts) - len(missing)} of {len(parts)} parts are there already")
    if not missing:
        return None
    return Group(sender, sender.make_order(store, reading), missing, names)


def _run(store: Store, group: Group) -> None:
    try:
        states = _decode_all(group)
    finally:
        with suppress(PipelineError):  # `pipeline doctor` sees to it
            drop_tree(store, group.order)
    if group.sender.stop.is_set():
        raise StoppedError("stopped with the flow")
    failed = [state for state in states if state.is_failed()]
    if failed:
        messages = [*dict.fromkeys(str(state.message) for state in failed)]
        more = f"; and {len(messages) - MOST_SAID} more" * (len(messages) > MOST_SAID)
        status = getattr(failed[0].data, "status", None)
        said = "; ".join(messages[:MOST_SAID]) + more
        raise StageFailedError(group.sender.stage.name, said, status)


def _decode_all(group: Group) -> list[State[Any]]:
    runner: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=AT_ONCE)
    with runner:
        wanted = {"number": [*group.parts], "group": unmapped(group)}
        futures = runner.map(decode_part, wanted)
        wait(list(futures))
    return [future.state for future in futures]


@task(
    name="part", task_run_name="download part {number}", cache_policy=NO_CACHE, persist_result=False
)
def decode_part(number: int, group: Group) -> State[Any]:
    """Have one part decoded; one that fails for what is not its own fault ends the others."""
    stage, part = group.sender.stage.name, group.parts[number]
    if group.ended.is_set() or group.sender.stop.is_set():
        return Cancelled(message="not begun: the run ends")
    try:
        answer = group.make_sender(number).place().answer
    except StoppedError:
        return Cancelled(message="the run was told to end")
    except StageFailedError as error:
        if error.status is None:
            group.ended.set()
        why = str(error).removeprefix(f"{stage}: ")
        named = why if why.startswith("part ") else f"{part}: {why}"
        return Failed(message=named, data=error)
    how = "decoded" if answer.outcome == "ran" else "there already"
    size = describe_bytes(answer.sent)
    return Completed(message=f"{how}, {size}, on {answer.host} in {answer.seconds:.1f} s")
