"""A stage that is placed in a pool runs in another clone: what is refused, shared and ended."""

import re
import signal
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.engine.overrides import set_params
from flows.orchestration.server import limit_gpu_stages
from flows.placing.pools import register_pools
from flows.sweep import sweep
from tests.flows.commands.typed import type_pipeline
from tests.flows.placing.conftest import (
    POOL,
    Site,
    ending,
    find_at_work,
    read_runs,
    run,
    start_worker,
)
from tests.flows.test_sweep import add_score
from tests.flows.toy import git, wait_until

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.server]

PLACE = [f"train={POOL}"]


@pytest.fixture(autouse=True)
def _limit(warm_python: None) -> None:
    limit_gpu_stages(1)  # a parent that took a slot would wait for its child without end


@pytest.fixture
def home(served: Site, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of the test's own in the site where a worker serves, with its own params."""
    name = re.sub(r"\W", "-", request.node.name)
    clone = served.clone(name)
    monkeypatch.chdir(clone)
    return clone


def test_a_worker_with_other_packages_refuses(home: Path) -> None:
    set_params(home, {"recipes.slow.seconds": 0.001})
    (home / "requirements.lock").write_text("torch==1\n")
    state = run("other", targets=["train@slow"], place=PLACE)
    assert "the worker's requirements.lock is missing, the sender's " in str(state.message)
    assert not (home / "train-slow.txt").exists()


def test_a_pool_that_no_worker_serves_is_named_within_seconds(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.placing.runs.PATIENCE_S", 1.0)
    set_params(home, {"recipes.slow.seconds": 0.002})
    register_pools(["empty"])
    state = run("alone", targets=["train@slow"], place=["train=empty"])
    assert "no worker serves the pool empty: pipeline work empty, in a clone" in str(state.message)
    assert "no deployment stage/none: pipeline deploy --pool none" in str(
        run("nowhere", targets=["train@slow"], place=["train=none"]).message
    )


def test_a_stage_that_fails_there_fails_here_in_its_own_words(home: Path) -> None:
    set_params(home, {"recipes.slow.fail": 1})
    state = run("failing", targets=["train@slow"], place=PLACE)
    assert state.message == "train@slow: slow was told to fail"


def test_without_a_git_remote_the_code_goes_in_a_bundle(served: Site, home: Path) -> None:
    git(home, "remote", "remove", "origin")
    (home / "stage.py").write_text((home / "stage.py").read_text() + "# not committed\n")
    state = run("bundled", targets=["train@slow"], place=PLACE)
    assert state.message == "2 of 2 stages ran: fetch, train@slow"
    assert (home / "train-slow.txt").exists()
    [run_there] = [each for each in read_runs("train@slow") if each.parameters["order"]["bundled"]]
    assert run_there.state_name == "Completed"
    assert not [*(served.store / "trees").iterdir()]


def test_ctrl_c_at_the_sender_ends_the_stage_there(served: Site, home: Path) -> None:
    set_params(home, {"recipes.slow.seconds": 600})
    with ending(type_pipeline(home, "run", "train@slow", "--place", PLACE[0])) as typed:
        wait_until(lambda: "epoch 1/2  train slow" in typed.read(), 120)
        typed.process.send_signal(signal.SIGINT)
        assert typed.process.wait(60) == 130
    assert "Traceback" not in typed.read()
    wait_until(lambda: read_runs("train@slow")[-1].state_name == "Cancelled")
    wait_until(lambda: not find_at_work(served.worker))
    assert not [*(served.worker / ".dvc/tmp/trees").iterdir()]
    assert git(home, "ls-remote", "origin", "refs/pipeline/*") == ""


def test_two_workers_and_a_sweep_run_a_common_stage_once(
    served: Site, home: Path, pytestconfig: pytest.Config
) -> None:
    """Of more experiments: --experiments 8."""
    count = pytestconfig.getoption("--experiments")
    add_score(home)
    set_params(home, {"recipes.slow.seconds": 0.5, "recipes.quick.seconds": 0.5})
    before = {run.id for run in read_runs(POOL)}
    with ending(start_worker(served.clone("second"))):
        state: State[Any] = sweep(
            grid=[f"report.seconds={','.join(f'0.0{n}' for n in range(1, count + 1))}"],
            metric="models.toy.val_accuracy",
            name="shared",
            parallel=count,
            place=PLACE,
            return_state=True,
        )
    assert state.message == f"best of {count}: shared-{count}, 0.0{count}00"
    placed = [run.name.partition(" ")[0] for run in read_runs(POOL) if run.id not in before]
    assert sorted(placed) == ["train@quick", "train@slow"]
