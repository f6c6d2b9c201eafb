"""What senders that were killed left elsewhere: runs of stages, and trees on the way to them."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType

from flows.orchestration.signs import AT_WORK, is_over, list_runs, read_run
from flows.placing import bundles
from flows.placing.bundles import drop_bundle, list_bundles
from flows.placing.objects import NoRemoteError, open_store
from flows.placing.pools import FLOW
from flows.placing.refs import drop_reference, find_sender, list_references
from flows.placing.runs import cancel
from flows.upkeep.findings import Finding, mend, note
from vision.base.errors import PipelineError

NOT_ENDED = [*AT_WORK, StateType.SCHEDULED, StateType.PENDING]


def check_placed(client: SyncPrefectClient, fix: bool) -> Iterator[Finding]:
    """Look for runs of stages, references and bundles whose sender is gone."""
    yield from _check_runs(client, fix)
    yield from _check_references(client, fix)
    yield from _check_bundles(client, fix)


def _check_runs(client: SyncPrefectClient, fix: bool) -> Iterator[Finding]:
    for run in list(list_runs(client, NOT_ENDED, FLOW)):
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
        left = [each for each in list_references() if has_ended(client, find_sender(each))]
    except PipelineError as error:
        yield note(f"not asked what placed stages left in git's remote: {error}")
        return
    for reference in left:
        yield _remove(fix, reference, "git's remote", partial(drop_reference, reference))


def _check_bundles(client: SyncPrefectClient, fix: bool) -> Iterator[Finding]:
    try:
        with open_store(Path()) as store:
            for name in list_bundles(store):
                if not has_ended(client, bundles.find_sender(name)):
                    continue
                drop = partial(drop_bundle, store, name)
                yield _remove(fix, f"the bundle {name}", "DVC's remote", drop)
    except NoRemoteError:
        return
    except PipelineError as error:
        yield note(f"not asked what placed stages left in DVC's remote: {error}")


def _remove(fix: bool, what: str, where: str, drop: Callable[[], object]) -> Finding:
    what = f"{what} of a sender that is gone"
    way_out = "pipeline doctor --fix removes it"
    return mend(fix, drop, f"{what}: removed from {where}", f"{where} has {what}: {way_out}")


def has_ended(client: SyncPrefectClient, number: str) -> bool:
    """Say whether a sender's run has ended, or its process is gone; of another server's, no."""
    try:
        run = read_run(client, UUID(number))
    except ValueError:
        return False
    return run is not None and is_over(run)
