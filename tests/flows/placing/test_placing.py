"""A stage that is placed in a pool runs in another clone, and gives what it gives at home."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.orchestration.server import limit_gpu_stages
from flows.pipeline import pipeline
from tests.flows.placing.conftest import POOL, Site
from tests.flows.toy import dvc, git, read_times

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.server]


@pytest.fixture(autouse=True)
def _limit(warm_python: None) -> None:
    limit_gpu_stages(1)  # a parent that took a slot would wait for its child without end


def run(clone: Path, name: str, **parameters: Any) -> State[Any]:
    os.chdir(clone)
    flow = pipeline.with_options(flow_run_name=name)
    return flow(return_state=True, **parameters)  # type: ignore[no-any-return]


def read_lock(clone: Path) -> dict[str, str]:
    """Return the text of each stage in dvc.lock; they stand in the order in which they ended."""
    _, *stages = re.split(r"^  (?=\S)", (clone / "dvc.lock").read_text(), flags=re.MULTILINE)
    return dict(text.split(":\n", 1) for text in stages)


def test_a_placed_stage_gives_the_bytes_of_a_local_run_and_moves_what_is_missing(
    served: Site, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(served.folder)
    home = served.clone("home")
    assert run(home, "placed", place=[f"train={POOL}"]).is_completed()
    assert set(read_times(home)) == {"fetch", "count@one", "count@two", "report"}
    assert read_lock(home) == read_lock(finished)
    for out in finished.glob("*.txt"):
        assert (home / out.name).read_bytes() == out.read_bytes()
    assert "up to date" in dvc(home, "status")
    assert git(home, "ls-remote", "origin", "refs/pipeline/*") == ""

    moved = served.list_objects()
    assert run(home, "again", place=[f"train={POOL}"]).message == "0 of 6 stages ran"
    assert served.list_objects() == moved
