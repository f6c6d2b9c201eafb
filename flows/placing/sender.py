"""The sender's side: send a stage and what it reads by hash, follow it, take its answer in."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.runtime import flow_run

from flows.engine.patience import Tell, insist
from flows.engine.plan import PlannedStage
from flows.engine.repro import StageFailedError, StoppedError
from flows.orchestration.asking import ask, ask_patiently
from flows.placing.beats import STATUS
from flows.placing.entries import Entry, Reading, find_key, forget, list_deps, read_stage
from flows.placing.foreseen import describe_bytes
from flows.placing.objects import RefusedError, Store, open_store
from flows.placing.orders import Answer, Order, hash_packages
from flows.placing.refs import name_reference
from flows.placing.runs import Follower, LostError, ask_for, cancel, read_answer
from flows.placing.taking import take_in
from flows.placing.trees import drop_tree, send_tree
from vision.base.errors import PipelineError

LOST_TRIES = 3  # at workers that go


@dataclass(frozen=True)
class Placed:
    """What a stage that ran elsewhere took and gave."""

    answer: Answer
    sent: int  # bytes
    received: int

    def describe(self) -> str:
        moved = f"{describe_bytes(self.sent)} sent, {describe_bytes(self.received)} received"
        return (
            f"{self.answer.outcome} on {self.answer.host} in {self.answer.seconds:.1f} s; {moved}"
        )


@contextmanager
def failing(stage: str) -> Iterator[None]:
    """Let whatever keeps a stage from being placed be a failure of that stage."""
    try:
        yield
    except (StageFailedError, StoppedError):
        raise
    except (PipelineError, httpx.HTTPError) as error:
        raise StageFailedError(stage, str(error), None) from error


@dataclass
class Sender:
    """Has a worker of a pool run a stage, and takes its result in.

    Attributes:
        tell: called with a line about how it goes.
        on_line: called with each line of the stage itself.
    """

    tree: Path
    stage: PlannedStage
    pool: str
    force: bool
    stop: threading.Event
    tell: Tell
    on_line: Tell
    sent: int = field(default=0, init=False)

    def place(self) -> Placed:
        """Have it done, and let DVC's run cache know the result: `repro` then restores it.

        Raises:
            StageFailedError: with the stage's own message, or why it cannot be placed.
            StoppedError: `stop` was set.
        """
        with failing(self.stage.name), open_store(self.tree) as store, ask() as client:
            return self._place(store, client)

    def _place(self, store: Store, client: SyncPrefectClient) -> Placed:
        reading = read_stage(store, self.stage.name)
        if not reading.is_kept:
            raise PipelineError("DVC does not keep all of its outs: it has to run at home")
        order = self.make_order(store, reading)
        try:
            placed = self._try(store, client, order)
        finally:
            with suppress(PipelineError):  # `pipeline doctor` sees to it
                drop_tree(store, order)
        if self.force:
            forget(store, reading.stage)  # or DVC would keep what it has
        return placed

    def make_order(self, store: Store, reading: Reading) -> Order:
        """Send what the stage reads, and the tree; return what to ask of a worker."""
        hashes = list_deps(reading.entry)
        held = [hashes[path] for path in reading.held]
        self.sent = insist(lambda: store.push(held), self.stop, self.tell)
        reference = name_reference(str(flow_run.get_id() or ""), self.stage.name)
        send = partial(send_tree, store, self.tree, reference, self.tell)
        commit, bundled = insist(send, self.stop, self.tell)
        return Order(
            stage=self.stage.name,
            reference=reference,
            commit=commit,
            bundled=bundled,
            entry=reading.entry,
            held=reading.held,
            packages=hash_packages(self.tree),
            tags=self.stage.meta.get("tags", []),
            force=self.force,
            timeout_s=self.stage.meta.get("timeout_seconds"),
            memory=self.stage.memory,
        )

    def _try(self, store: Store, client: SyncPrefectClient, order: Order) -> Placed:
        """Ask again where a worker went, and past what earlier runs of the same key ended as."""
        key, lost = self._make_key(order), 0
        for attempt in count(1):
            question = partial(ask_for, client, self.pool, order, f"{key}-{attempt}")
            run = ask_patiently(question, self.stop, self.tell)
            was_there = bool(run.state and run.state.is_final())
            try:
                return self._take(store, order.entry, client, self._await(client, run))
            except LostError as error:
                lost += not was_there
                if lost >= LOST_TRIES:
                    raise
                self.tell(f"{error}: asking again")
            except (RefusedError, StageFailedError) as error:
                if not was_there:
                    raise
                self.tell(f"an earlier run is of no use: {error}")
        raise AssertionError

    def _make_key(self, order: Order) -> str:
        """Return by what two runs are the same: DVC's own key, the packages, and the pool.

        Two senders of one stage, as in a sweep, so get the same run.
        """
        key = f"{self.pool}-{find_key(order.entry)[:32]}-{order.packages[:16]}"
        return f"{key}-{flow_run.get_id()}" if self.force else key

    def _await(self, client: SyncPrefectClient, run: FlowRun) -> FlowRun:
        ended = None
        try:
            ended = Follower(client, run, self.pool, self.tell).wait(self.stop, self.on_line)
        finally:
            if ended is None:
                with suppress(httpx.HTTPError):  # `pipeline doctor` sees to it
                    cancel(client, run)
        if ended is None:
            raise StoppedError("stopped with the flow")
        return ended

    def _take(self, store: Store, entry: Entry, client: SyncPrefectClient, run: FlowRun) -> Placed:
        state: Any = run.state
        if state.is_completed():
            answer = ask_patiently(partial(read_answer, client, run), self.stop, self.tell)
            if not answer:
                raise RefusedError(f"the run {run.name} has not answered")
            step = partial(take_in, store, entry, answer)
            return Placed(answer, self.sent, insist(step, self.stop, self.tell))
        if state.is_failed():
            status = run.labels.get(STATUS)
            message = str(state.message).removeprefix(f"{self.stage.name}: ")
            raise StageFailedError(self.stage.name, message, int(status) if status else None)
        raise LostError(f"the run {run.name} is {state.name}: {state.message}")
