"""The runs of stages in a pool: asked for, followed, cancelled."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterTimestamp,
)
from prefect.client.schemas.objects import FlowRun, State, StateType, Worker, WorkerStatus
from prefect.client.schemas.sorting import LogSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling, Crashed

from flows.orchestration.asking import RETRY_S, describe_error
from flows.placing.beats import BEAT
from flows.placing.entries import find_key
from flows.placing.orders import ANSWER, Answer, Order
from flows.placing.pools import FLOW
from vision.base.errors import PipelineError

LINES = "prefect.task_runs.stage"  # logger of what the stage itself says
POLL_S = (0.5, 2.0)  # between looks: at first, and in the end
PATIENCE_S = 20.0  # with a pool that no worker serves
SILENCE_S = 60.0  # without a sign of life, the server being there, a worker counts as gone
LATE = timedelta(seconds=10)  # by which a line may come after younger ones


class LostError(PipelineError):
    """The worker went, or was told to end by someone else: another may do it."""


def ask_for(client: SyncPrefectClient, pool: str, order: Order, key: str) -> FlowRun:
    """Return the run of a stage in a pool; that of the same key, if there has been one.

    Raises:
        PipelineError: the pool has no deployment for stages.
    """
    try:
        deployment = client.read_deployment_by_name(f"{FLOW}/{pool}")
    except ObjectNotFound:
        what = f"{client.api_url} has no deployment {FLOW}/{pool}"
        way_out = f"pipeline deploy --pool {pool}, or set PREFECT_API_URL to the server that has it"
        raise PipelineError(f"{what}: {way_out}") from None
    return client.create_flow_run_from_deployment(
        deployment.id,
        name=f"{order.title} {find_key(order.entry)[:8]}-{key.rpartition('-')[2]}",
        parameters={"order": order.model_dump(mode="json")},
        idempotency_key=key,
        tags=[order.stage, pool],
    )


def read_answer(client: SyncPrefectClient, run: FlowRun) -> Answer | None:
    """Return what a run has answered, if it has."""
    found = client.read_artifacts(
        artifact_filter=ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]), key=ArtifactFilterKey(any_=[ANSWER])
        )
    )
    return Answer.model_validate_json(str(found[0].data)) if found else None


class Follower:
    """Follows the run of a stage: its lines, its signs of life, its end."""

    def __init__(
        self, client: SyncPrefectClient, run: FlowRun, pool: str, tell: Callable[[str], None]
    ) -> None:
        self.client, self.run, self.pool, self.tell = client, run, pool, tell
        self.seen: set[UUID] = set()
        self.newest: datetime | None = None
        self.sign: object = None  # of life
        self.told = ""

    def wait(self, stop: threading.Event, on_line: Callable[[str], None]) -> FlowRun | None:
        """Return the run when it has ended; None if `stop` was set.

        A server that is away is waited for. `on_line` is called with each line of the stage.

        Raises:
            LostError: its worker is gone.
            PipelineError: no worker serves the pool.
        """
        alive = began = time.monotonic()  # when there was a sign of life
        while not stop.is_set():
            pause = min(POLL_S[1], max(POLL_S[0], (time.monotonic() - began) / 20))
            try:
                run = self.look(on_line)
                if run.state and run.state.is_final():
                    return run
                alive = time.monotonic() if self._is_new(run) else alive
                self._check(run, time.monotonic() - alive)
            except httpx.HTTPError as error:
                self._say(f"waits for the Prefect server: {describe_error(error)}")
                alive, pause = time.monotonic(), RETRY_S
            except ObjectNotFound:
                raise LostError(f"the Prefect server has lost the run {self.run.name}") from None
            stop.wait(pause)
        return None

    def look(self, on_line: Callable[[str], None]) -> FlowRun:
        """Ask how the run is, and what its stage has said since the last look."""
        run: FlowRun = self.client.read_flow_run(self.run.id)
        for line in self._read_lines():
            on_line(line)
        return run

    def _is_new(self, run: FlowRun) -> bool:
        """Say whether a run, or while it waits its pool, gives another sign of life than before."""
        sign: object = (run.state_name, run.labels.get(BEAT))
        if is_waiting(run):
            sign = (sign, [worker.last_heartbeat_time for worker in self._list_workers()])
        before, self.sign = self.sign, sign
        return sign != before

    def _list_workers(self) -> list[Worker]:
        """Return the workers that the server holds for there."""
        workers = self.client.read_workers_for_work_pool(self.pool)
        return [worker for worker in workers if worker.status == WorkerStatus.ONLINE]

    def _check(self, run: FlowRun, silence: float) -> None:
        """Say what is waited for, and give up what would be waited for without end."""
        if is_waiting(run):
            self._check_pool(run, silence)
        elif silence > SILENCE_S:
            why = f"no sign of life for {SILENCE_S:.0f} s"
            self.client.set_flow_run_state(run.id, Crashed(message=why), force=True)
            raise LostError(f"the worker of {run.name} gives no sign of life")

    def _check_pool(self, run: FlowRun, silence: float) -> None:
        served = bool(self._list_workers())
        way_out = f"pipeline work {self.pool}, in a clone on a machine for it"
        if silence > (SILENCE_S if served else PATIENCE_S):
            cancel(self.client, run)
            raise PipelineError(f"no worker serves the pool {self.pool}: {way_out}")
        since = datetime.now(UTC) - run.created if run.created else LATE
        if not served:
            self._say(f"no worker serves the pool {self.pool}: {way_out}")
        elif since > LATE:
            self._say(f"waits for a free worker of the pool {self.pool}")

    def _say(self, words: str) -> None:
        if words != self.told:
            self.tell(words)
            self.told = words

    def _read_lines(self) -> Iterator[str]:
        """Yield the lines of the stage that have come, each once."""
        since: Any = LogFilterTimestamp(after_=self.newest - LATE) if self.newest else None  # type: ignore[arg-type]
        wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[self.run.id]), timestamp=since)
        for log in self.client.read_logs(wanted, limit=200, sort=LogSort.TIMESTAMP_ASC):
            if log.id in self.seen:
                continue
            self.seen.add(log.id)
            self.newest = max(self.newest or log.timestamp, log.timestamp)
            if log.name == LINES:
                yield log.message


def is_waiting(run: FlowRun) -> bool:
    """Say whether no worker has begun a run."""
    return run.state is not None and run.state.type in (StateType.SCHEDULED, StateType.PENDING)


def cancel(client: SyncPrefectClient, run: FlowRun) -> None:
    """Tell a run to end: its worker does so, or no one has begun it."""
    run = client.read_flow_run(run.id)
    if run.state and not run.state.is_final():
        state: State[Any] = Cancelled() if is_waiting(run) else Cancelling()
        client.set_flow_run_state(run.id, state, force=True)
