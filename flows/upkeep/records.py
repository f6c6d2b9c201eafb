"""Compare what a Prefect server holds for running, and its slots, with what does run."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from functools import partial
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
    TaskRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL

from flows.engine.prefect_home import find_home
from flows.orchestration.asking import ask, describe_absence
from flows.orchestration.reach import reach_server
from flows.orchestration.server import GPU_LIMIT, LEASE_SETTING, LEASES, TAG
from flows.orchestration.signs import (
    AT_WORK,
    bury,
    describe_process,
    find_run,
    is_gone,
    is_over,
    list_at_work,
)
from flows.upkeep.findings import Finding, bad, good, mend, note
from flows.upkeep.placed import check_placed
from vision.base.errors import PipelineError

FLOWS = ("pipeline", "sweep", "stage")
DEPLOYMENT = "deployment:"
TRACES = (
    "select count(*) from flow_run where state_type in ('RUNNING', 'CANCELLING')",
    "select count(*) from concurrency_limit_v2 where active_slots > 0",
)


def check_server(fix: bool) -> Iterator[Finding]:
    """Look at the server that is set; with none set, at what those of earlier runs left behind."""
    url = PREFECT_API_URL.value()
    if not url:
        yield note("PREFECT_API_URL is not set: each run starts a server of its own (make serve)")
        if not _has_traces():
            return
    try:
        with nullcontext() if url else reach_server(), ask() as client:
            if url:
                client.hello()
                yield good(f"Prefect server at {url}")
                yield from check_leases(client)
            yield from check_runs(client, fix)
            yield from check_placed(client, fix)
            yield from check_slots(client, fix)
    except httpx.HTTPError as error:
        yield bad(describe_absence(error))
    except PipelineError as error:
        yield bad(str(error))


def _has_traces() -> bool:
    """Say whether the records on this machine have runs at work or slots that are taken."""
    path = find_home() / "prefect.db"
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as base:
            return any(base.execute(question).fetchone()[0] for question in TRACES)
    except sqlite3.Error:
        return True  # the server will say what it is


def check_leases(client: SyncPrefectClient) -> Iterator[Finding]:
    """See whether slots survive a restart of the server."""
    settings = client._client.get("/admin/settings").json()
    storage = settings["server"]["concurrency"]["lease_storage"]
    if storage.startswith(f"{LEASES}.memory"):
        way_out = f"start it with {LEASE_SETTING}={LEASES}.filesystem"
        yield note(f"slots that are taken when the server restarts stay taken for good: {way_out}")


def check_runs(client: SyncPrefectClient, fix: bool) -> Iterator[Finding]:
    """Look for runs that the server holds for running, and whose process is gone."""
    for run in list(list_at_work(client)):
        if client.read_flow(run.flow_id).name not in FLOWS:
            continue
        what = f"the run {run.name} is {run.state_name}"
        if is_gone(run):
            dead = f"{what}, but its {describe_process(run)} is gone"
            yield mend(
                fix,
                partial(bury, client, run),
                f"{dead}: it is Crashed now",
                f"{dead}: pipeline doctor --fix says so to the server",
            )
        else:
            yield note(f"{what}: {describe_process(run) or 'it does not say in which process'}")


def check_slots(client: SyncPrefectClient, fix: bool) -> Iterator[Finding]:
    """Look for slots that no living run holds: of the GPU, and of deployments."""
    limits = client.read_global_concurrency_limits(limit=200, offset=0)
    if GPU_LIMIT not in [limit.name for limit in limits]:
        yield note("stages tagged gpu are not limited: pipeline deploy limits them to one")
    for limit in limits:
        name = limit.name
        if name.startswith(TAG):
            title = "GPU slots" if name == GPU_LIMIT else f"slots of {name}"
            living, dead = sort_holders(client, name.removeprefix(TAG))
        elif name.startswith(DEPLOYMENT):
            title = f"slots of the deployment {find_deployment(client, name)}"
            living, dead = count_runs(client, name), []
        else:
            continue
        yield from _check_limit(client, limit, title, living, dead, fix)


def _check_limit(
    client: SyncPrefectClient,
    limit: GlobalConcurrencyLimitResponse,
    title: str,
    living: int,
    dead: list[UUID],
    fix: bool,
) -> Iterator[Finding]:
    taken = limit.active_slots
    if taken <= living:
        if limit.name == GPU_LIMIT:
            yield good(f"{title}: {taken} of {limit.limit} taken")
    elif not fix:
        yield bad(f"{title}: {taken} taken, {living} in use: pipeline doctor --fix frees them")
    else:
        for holder in dead:
            client.decrement_v1_concurrency_slots([limit.name.removeprefix(TAG)], holder, 1.0)
        if client.read_global_concurrency_limit_by_name(limit.name).active_slots > living:
            update = GlobalConcurrencyLimitUpdate(active_slots=living)
            client.update_global_concurrency_limit(limit.name, update)
        yield good(f"{title}: {taken - living} that no run held are free again")


def sort_holders(client: SyncPrefectClient, tag: str) -> tuple[int, list[UUID]]:
    """Return how many tasks that live hold a slot of a tag's limit, and which dead ones do."""
    holders = set(client.read_concurrency_limit_by_tag(tag).active_slots)
    running = client.read_task_runs(
        task_run_filter=TaskRunFilter(
            tags=TaskRunFilterTags(all_=[tag]),
            state=TaskRunFilterState(type=TaskRunFilterStateType(any_=AT_WORK)),
        )
    )
    known = holders | {task.id for task in running}
    dead = [number for number in known if _is_dead(client, number)]
    return len(known) - len(dead), [number for number in dead if number in holders]


def _is_dead(client: SyncPrefectClient, task_run: UUID) -> bool:
    """Say whether a task's run has ended, or is one whose process is gone."""
    with suppress(ObjectNotFound):  # that of a task that has just begun
        run = find_run(client, client.read_task_run(task_run))
        return run is not None and is_over(run)
    return False


def count_runs(client: SyncPrefectClient, limit: str) -> int:
    """Return how many runs of a deployment hold its slots, those whose process is gone apart."""
    number = UUID(limit.removeprefix(DEPLOYMENT))
    runs: list[FlowRun] = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[number])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(
                type=FlowRunFilterStateType(any_=[*AT_WORK, StateType.PENDING])
            )
        ),
    )
    return sum(not is_gone(run) for run in runs)


def find_deployment(client: SyncPrefectClient, limit: str) -> str:
    """Return the name of the deployment that a limit is of."""
    with suppress(ObjectNotFound):
        return client.read_deployment(UUID(limit.removeprefix(DEPLOYMENT))).name
    return limit.removeprefix(DEPLOYMENT)
