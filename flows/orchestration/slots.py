"""Slots of the GPU limit: waited for aloud and in a way that can be ended, and held while it lasts.

Prefect's engine takes a slot of `tag:TAG` for each tag of a task, silently, and out of reach of
Ctrl-C; a server that is away when the slot is given back fails the task, and one that is away for
longer than the slot is leased gives it to others. Ours takes its place: see `install`.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import prefect.task_engine
from prefect import get_run_logger
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import ConcurrencyLeaseHolder, FlowRun
from prefect.exceptions import ObjectNotFound

from flows.engine.durations import describe
from flows.orchestration.asking import ask, describe_error, is_passing
from flows.orchestration.server import TAG
from flows.orchestration.signs import bury, describe_process, find_run, is_gone
from flows.orchestration.stopping import find_stop

LEASE_S = 120.0  # without a word from us the server gives the slot to others
RENEW_S = 20.0
RETRY_S = 3.0  # after which a server that is away is asked again
POLL_S = 1.0  # between looks for a free slot
REMIND_S = 60.0
BUSY_S = 5.0  # for which a server may be too busy to answer
AWAY_S = 300.0  # without a server for this long, a stage runs unbounded


def install() -> None:
    """Have Prefect's engine take slots in our way."""
    prefect.task_engine._concurrency = hold_slots  # type: ignore[attr-defined, assignment]


@contextmanager
def hold_slots(names: list[str], holder: ConcurrencyLeaseHolder, **_: Any) -> Iterator[None]:
    """Hold a slot of each limit while the block lasts; limits that do not exist do not count.

    Where the flow is to end while we wait, the block begins without: it has to look.

    Args:
        names: of limits, `tag:gpu`.
        holder: the task run.
    """
    lease = _Lease(names, holder) if names else None
    if not (lease and lease.wait_for()):
        yield
        return
    context = copy_context()
    keeper = threading.Thread(target=context.run, args=(lease.keep,), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        lease.ended.set()
        keeper.join(timeout=RETRY_S)


class _Lease:
    def __init__(self, names: list[str], holder: ConcurrencyLeaseHolder) -> None:
        self.names, self.holder = names, holder
        self.number: UUID | None = None
        self.ended = threading.Event()
        self.logger: Any = get_run_logger()

    def take(self, client: SyncPrefectClient) -> bool:
        """Take the slots, if they are free; say whether that is settled."""
        try:
            answer = client.increment_concurrency_slots_with_lease(
                self.names, 1, "concurrency", LEASE_S, self.holder
            ).json()
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.LOCKED:
                return False
            raise
        self.number = UUID(answer["lease_id"]) if answer["limits"] else None
        return True

    def wait_for(self) -> bool:
        """Wait until slots are free, and say whether we hold any."""
        stop, heard, told, is_lost = find_stop(), time.monotonic(), -REMIND_S, False
        with ask() as client:
            while not stop.is_set():
                try:
                    if is_lost:
                        self.free_own(client)
                    is_lost = False
                    if self.take(client):
                        return self.number is not None
                    heard = time.monotonic()
                    words = f"waits for a slot of {', '.join(self.names)}: "
                    words += self.describe_holders(client)
                except httpx.HTTPError as error:
                    is_lost, silence = True, time.monotonic() - heard
                    if silence > AWAY_S:
                        self.logger.warning("no Prefect server to bound it: it runs all the same")
                        return False
                    words = f"waits for the Prefect server: {describe_error(error)}"
                    words *= silence > BUSY_S
                if words and time.monotonic() - told >= REMIND_S:
                    self.logger.info(words)
                    told = time.monotonic()
                stop.wait(POLL_S)
        return False

    def free_own(self, client: SyncPrefectClient) -> None:
        """Give back what an answer that was lost has given us: nobody else would, for LEASE_S."""
        for name in self.names:
            if self.holder.id in _list_holders(client, name):
                client.decrement_v1_concurrency_slots([name.removeprefix(TAG)], self.holder.id, 1.0)

    def describe_holders(self, client: SyncPrefectClient) -> str:
        """Say which tasks hold the slots, and since when; take back those of killed runs."""
        told = []
        for name in self.names:
            for number in _list_holders(client, name):
                with suppress(ObjectNotFound, httpx.HTTPStatusError):
                    words, run = _find_holder(client, number)
                    told.append(words)
                    if run and is_gone(run):
                        self.logger.warning("the run %s was killed: its slot comes free", run.name)
                        bury(client, run)
                        tag = name.removeprefix(TAG)
                        client.decrement_v1_concurrency_slots([tag], number, 1.0)
        return "; ".join(told) or "no run is known to hold it (see pipeline doctor)"

    def keep(self) -> None:
        """Renew the lease until the block ends, then give it back, whenever the server is there."""
        with ask() as client:
            pause = RENEW_S
            while not self.ended.wait(pause):
                pause = RENEW_S if self._renew(client) else RETRY_S
            deadline = time.monotonic() + AWAY_S
            while not self._give_back(client) and time.monotonic() < deadline:
                time.sleep(RETRY_S)

    def _renew(self, client: SyncPrefectClient) -> bool:
        try:
            if self.number:
                client.renew_concurrency_lease(self.number, LEASE_S)
                return True
            return self.take(client)
        except (httpx.HTTPError, ObjectNotFound) as error:
            if not is_passing(error):  # the server forgot it: take another as soon as one is free
                self.number = None
        return False

    def _give_back(self, client: SyncPrefectClient) -> bool:
        try:
            if self.number:
                client.release_concurrency_slots_with_lease(self.number)
        except (httpx.HTTPError, ObjectNotFound) as error:
            return not is_passing(error)  # else the server has given it to others
        return True


def _list_holders(client: SyncPrefectClient, name: str) -> list[UUID]:
    """Return the task runs that hold a slot of `tag:TAG`."""
    with suppress(ObjectNotFound):
        return list(client.read_concurrency_limit_by_tag(name.removeprefix(TAG)).active_slots)
    return []


def _find_holder(client: SyncPrefectClient, number: UUID) -> tuple[str, FlowRun | None]:
    """Say which task holds a slot, and return its run."""
    task = client.read_task_run(number)
    run = find_run(client, task)
    since = task.start_time or task.expected_start_time
    long = f", for {describe((datetime.now(UTC) - since).total_seconds())}" if since else ""
    where = f" of the run {run.name}" if run else ""
    process = run and describe_process(run)
    return f"held by {task.name}{where}{f' ({process})' if process else ''}{long}", run
