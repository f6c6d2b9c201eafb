"""What senders that were killed left elsewhere: runs of stages, and references in git's remote."""

from collections.abc import Iterator
from functools import partial
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound

from flows.orchestration.signs import AT_WORK, is_gone
from flows.placing.pools import FLOW
from flows.placing.refs import drop_tree, find_sender, list_sent
from flows.placing.runs import cancel
from flows.upkeep.findings import Finding, mend, note
from vision.base.errors import PipelineError

NOT_ENDED = [*AT_WORK, StateType.SCHEDULED, StateType.PENDING]


def check_placed(client: SyncPrefectClient, fix: bool) -> Iterator[Finding]:
    """Look for runs of stages and for references whose sender is gone."""
    yield from _check_runs(client, fix)
    yield from _check_references(client, fix)


def _check_runs(client: SyncPrefectClient, fix: bool) -> Iterator[Finding]:
    for run in list_placed(client):
        reference = str((run.parameters.get("order") or {}).get("reference"))
        if not has_ended(client, find_sender(reference)):
            continue
        what = f"the run {run.name} of a stage, whose sender is gone"
        yield mend(
            fix,
            partial(cancel, client, run),
            f"{what}: cancelled",
            f"{what}, is {run.state_name}: pipeline doctor --fix cancels it",
        )


def _check_references(client: SyncPrefectClient, fix: bool) -> Iterator[Finding]:
    try:
        left = [each for each in list_sent() if has_ended(client, find_sender(each))]
    except PipelineError as error:
        yield note(f"not asked what placed stages left in git's remote: {error}")
        return
    for reference in left:
        what = f"{reference} of a sender that is gone"
        yield mend(
            fix,
            partial(drop_tree, reference),
            f"{what}: removed from git's remote",
            f"git's remote has {what}: pipeline doctor --fix removes it",
        )


def list_placed(client: SyncPrefectClient) -> list[FlowRun]:
    """Return the runs of placed stages that have not ended."""
    return client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=NOT_ENDED))
        ),
    )


def has_ended(client: SyncPrefectClient, number: str) -> bool:
    """Say whether a sender's run has ended, or its process is gone; of another server's, no."""
    try:
        run = client.read_flow_run(UUID(number))
    except (ValueError, ObjectNotFound, httpx.HTTPStatusError):
        return False
    return bool(run.state and run.state.is_final()) or is_gone(run)
