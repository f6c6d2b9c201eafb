"""What senders that are gone left elsewhere is found and removed; what others have there stays."""

from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Completed, Running

from flows.engine.git import take_snapshot
from flows.placing.bundles import list_bundles, send_bundle
from flows.placing.objects import open_store
from flows.placing.refs import list_references, name_reference, push_tree
from flows.upkeep.placed import check_placed
from tests.flows.toy import dvc, git

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.server]


@flow
def sender() -> None:
    """Stand in for a run that has sent something."""


def test_trees_of_senders_that_are_gone_are_removed_and_others_stay(
    new_toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(new_toy)
    git(new_toy.parent, "init", "--quiet", "--bare", "hub.git")
    git(new_toy, "remote", "add", "origin", "../hub.git")
    dvc(new_toy, "remote", "add", "--default", "store", "../store")
    content = take_snapshot()
    with get_client(sync_client=True) as client, open_store(new_toy) as store:
        runs = [client.create_flow_run(sender, state=state()) for state in (Completed, Running)]
        gone, lives = (name_reference(str(run.id), "train@slow") for run in runs)
        for reference in (gone, lives):
            push_tree(new_toy, content, reference)
            send_bundle(store, new_toy, content, reference)
        assert [finding.kind for finding in check_placed(client, fix=False)] == ["bad", "bad"]
        assert [finding.kind for finding in check_placed(client, fix=True)] == ["ok", "ok"]
        assert list_references() == [lives]
        assert list_bundles(store) == [f"{runs[1].id}.train-slow.bundle"]
