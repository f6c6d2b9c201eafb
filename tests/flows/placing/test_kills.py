"""Whatever is killed while a stage is placed, in the end its outs are the same and nothing is left.

`pytest tests/flows/placing/test_kills.py --kills 20` kills at as many moments, for a night.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL

from flows.engine.overrides import set_params
from flows.orchestration.server import limit_gpu_stages, read_gpu_slots
from flows.orchestration.signs import PROCESS
from flows.upkeep.locks import check_trees
from flows.upkeep.records import check_server
from tests.flows.commands.typed import Typed, type_pipeline
from tests.flows.placing.conftest import POOL, Site, find_at_work, read_runs
from tests.flows.toy import dvc, git, wait_until
from vision.base.params import read_params

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.server, pytest.mark.slow]

STAGE = "train@slow"
SECONDS = 4.0  # that the stage takes; kills fall within them
PATIENCE_S = 180.0


def kill_worker(_: Typed) -> None:
    """Kill the process in which a worker has the stage."""
    os.kill(int(str(read_runs(STAGE)[-1].labels[PROCESS])), signal.SIGKILL)


def kill_sender(sender: Typed) -> None:
    sender.process.kill()
    sender.process.wait()


@pytest.fixture(scope="session")
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--kills"))


def start_run(home: Path) -> Typed:
    typed = type_pipeline(home, "run", STAGE, "--place", f"train={POOL}")
    wait_until(lambda: "epoch 1/2  train slow" in typed.read() or typed.process.poll(), 120)
    return typed


@pytest.mark.parametrize("kill", [kill_worker, kill_sender])
def test_killed_at_any_moment_the_stage_gives_the_same_in_the_end(
    served: Site,
    kill: Callable[[Typed], None],
    kills: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit_gpu_stages(1)
    monkeypatch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
    draw = random.Random(kill.__name__)
    for number in range(kills):
        home = served.clone(f"{kill.__name__}-{number}")
        monkeypatch.chdir(home)
        set_params(home, {"recipes.slow.seconds": SECONDS + draw.uniform(0, 0.1)})
        typed = start_run(home)
        time.sleep(draw.uniform(0, SECONDS))
        kill(typed)
        if kill is kill_sender:
            typed = type_pipeline(home, "run", STAGE, "--place", f"train={POOL}")
        assert typed.process.wait(PATIENCE_S) == 0, typed.read()
        recipe = read_params(home / "params.yaml")["recipes"]["slow"]
        assert (home / "train-slow.txt").read_text() == str(recipe)
        assert_nothing_is_left(served, home)


def assert_nothing_is_left(served: Site, home: Path) -> None:
    """See that `doctor --fix` leaves no run, no reference, no slot and no tree."""
    assert not [finding for finding in check_server(fix=True) if finding.kind == "bad"]
    assert git(home, "ls-remote", "origin", "refs/pipeline/*") == ""
    wait_until(lambda: all(run.state and run.state.is_final() for run in read_runs(STAGE)), 90)
    with get_client(sync_client=True) as client:
        wait_until(lambda: read_gpu_slots(client) == (1, 0), 150)
    os.chdir(served.worker)
    list(check_trees(fix=True))
    assert not [*(served.worker / ".dvc/tmp/trees").iterdir()]
    assert not find_at_work(served.worker)
    assert "up to date" in dvc(home, "status", STAGE)
