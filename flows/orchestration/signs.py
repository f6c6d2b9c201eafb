"""Which process a flow run is: it signs its record, so that one can tell whether it still lives.

Prefect's server calls a run "Running" until it is told otherwise; a killed run tells nothing.
"""

import os
import socket
from collections.abc import Iterator
from functools import partial
from uuid import UUID

import httpx
import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType, TaskRun
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Crashed

from flows.orchestration.asking import ask, ask_patiently, harmless
from flows.orchestration.stopping import find_stop

HOST, PROCESS, STARTED = "pipeline.host", "pipeline.process", "pipeline.process-started"
SIGN_S = 30.0  # for which a server may be away or busy
TOLERANCE_S = 1.0  # of the time at which a process started
AT_WORK = [StateType.RUNNING, StateType.CANCELLING]
GONE = "its process is gone"
PAGE = 200  # records that the server gives at once


@harmless
def sign() -> None:
    """Note in the record of the flow run which process it is.

    A server that is busy is asked again: of a run that has not signed, no one knows its end.
    """
    if not (number := flow_run.get_id()):
        return
    labels = {
        HOST: socket.gethostname(),
        PROCESS: os.getpid(),
        STARTED: psutil.Process().create_time(),
    }
    with ask() as client:
        step = partial(client.update_flow_run_labels, number, labels)  # type: ignore[arg-type]
        ask_patiently(step, find_stop(), away_s=SIGN_S)


def is_gone(run: FlowRun) -> bool:
    """Say whether the process that signed a run was on this machine and is no more."""
    labels = run.labels
    if labels.get(HOST) != socket.gethostname():
        return False
    try:
        process = psutil.Process(int(labels[PROCESS]))
        late = process.create_time() - float(labels[STARTED])
        return abs(late) > TOLERANCE_S or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def describe_process(run: FlowRun) -> str:
    """Return `process 12 on HOST`, or nothing for a run that has not signed."""
    labels = run.labels
    return f"process {labels[PROCESS]} on {labels[HOST]}" if HOST in labels else ""


def is_over(run: FlowRun) -> bool:
    """Say whether a run has ended, or its process is gone."""
    return bool(run.state and run.state.is_final()) or is_gone(run)


def list_at_work(client: SyncPrefectClient) -> Iterator[FlowRun]:
    """Yield the flow runs that the server holds for running, or for being cancelled."""
    return list_runs(client, AT_WORK)


def list_runs(
    client: SyncPrefectClient, states: list[StateType], flow: str | None = None
) -> Iterator[FlowRun]:
    """Yield the flow runs that the server holds for being in some states.

    Args:
        flow: of this name; None: of any.
    """
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)))
    of_flow = FlowFilter(name=FlowFilterName(any_=[flow])) if flow else None
    for offset in range(0, 10 * PAGE, PAGE):
        runs = client.read_flow_runs(
            flow_filter=of_flow, flow_run_filter=wanted, limit=PAGE, offset=offset
        )
        yield from runs
        if len(runs) < PAGE:
            break


def list_tasks(client: SyncPrefectClient, run: FlowRun) -> list[TaskRun]:
    """Return the tasks of a flow run that the server holds for running."""
    return client.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])),
        task_run_filter=TaskRunFilter(
            state=TaskRunFilterState(type=TaskRunFilterStateType(any_=AT_WORK))
        ),
    )


def bury(client: SyncPrefectClient, run: FlowRun) -> None:
    """Record a run whose process is gone as crashed, with its tasks: so its slots come free."""
    for task in list_tasks(client, run):
        client.set_task_run_state(task.id, Crashed(message=GONE), force=True)
    client.set_flow_run_state(run.id, Crashed(message=GONE), force=True)


def find_run(client: SyncPrefectClient, task: TaskRun) -> FlowRun | None:
    """Return the flow run of a task."""
    return read_run(client, task.flow_run_id) if task.flow_run_id else None


def read_run(client: SyncPrefectClient, number: UUID) -> FlowRun | None:
    """Return a flow run; None of another server's."""
    try:
        return client.read_flow_run(number)
    except (ObjectNotFound, httpx.HTTPStatusError):
        return None
