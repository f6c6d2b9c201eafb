"""Whatever is killed while a stage is placed, in the end its outs are the same and nothing is left.

For a night, over S3: python -m tests.placing_kills --runs 20 --seed 2
"""

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.engine.overrides import set_params
from flows.orchestration.server import limit_gpu_stages, read_gpu_slots
from flows.placing.pools import register_pools
from flows.upkeep.locks import check_trees
from flows.upkeep.records import check_server
from tests.flows.commands.typed import Typed, type_pipeline
from tests.flows.placing.conftest import POOL, Site, ending, find_at_work, read_runs, start_worker
from tests.flows.placing.servers import S3, Prefect, Remote, Server, serve
from tests.flows.toy import dvc, git, wait_until
from tests.skips import skip_without
from vision.base.params import read_params

pytestmark = [pytest.mark.server, pytest.mark.slow]

STAGE = "train@slow"
ENGINE = "prefect.engine"  # in the command of a process that has a flow run
SECONDS = 4.0  # that the stage takes
WHOLE_S = 12.0  # that its task takes on a machine with nothing else to do, and the run's start
AWAY_S = 6.0  # at most, after which a server comes back
PATIENCE_S = 300.0


@dataclass(frozen=True)
class Scene:
    """All that can be killed but the sender."""

    prefect: Prefect
    remote: Remote
    site: Site
    worker: Typed


@pytest.fixture(scope="module")
def scene(
    hub: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Scene]:
    """Servers of their own, which keep what they know, and a worker."""
    if not pytestconfig.getoption("--kills"):  # a minute and more for each
        skip_without("--kills", "python -m tests.placing_kills")
    folder = tmp_path_factory.mktemp("scene")
    site = Site(Path(shutil.copytree(hub, folder / "site")))
    with (
        serve(Prefect(folder / "prefect")) as prefect,
        serve(S3(folder / "s3")) as remote,
        temporary_settings({PREFECT_API_URL: prefect.url}),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("PREFECT_API_URL", prefect.url)
        remote.share(site.folder / "hub.git")
        register_pools([POOL])
        limit_gpu_stages(1)
        remote.admit(site.clone("worker"))
        with ending(start_worker(site.worker)) as worker:
            yield Scene(prefect, remote, site, worker)


def kill_worker(scene: Scene, sender: Typed, draw: random.Random) -> None:
    """Kill the process in which a worker has the stage."""
    wait_until(lambda: "epoch 1/2  train slow" in sender.read() or sender.process.poll(), 120)
    time.sleep(draw.uniform(0, SECONDS))
    for process in psutil.Process(scene.worker.process.pid).children(recursive=True):
        with suppress(psutil.Error):  # it has ended
            if ENGINE in process.cmdline():
                process.kill()


def kill_sender(scene: Scene, sender: Typed, draw: random.Random) -> None:
    time.sleep(draw.uniform(0, WHOLE_S))
    sender.process.kill()
    sender.process.wait()


def kill_prefect(scene: Scene, sender: Typed, draw: random.Random) -> None:
    take_away(scene.prefect, draw)


def kill_remote(scene: Scene, sender: Typed, draw: random.Random) -> None:
    take_away(scene.remote, draw)


def take_away(server: Server, draw: random.Random) -> None:
    """Kill a server, and start it again a little later."""
    time.sleep(draw.uniform(0, WHOLE_S))
    server.kill()
    time.sleep(draw.uniform(0, AWAY_S))
    server.start()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    kills = [kill_worker, kill_sender, kill_prefect, kill_remote]
    numbers = range(max(1, metafunc.config.getoption("--kills")))
    metafunc.parametrize("number", numbers)
    metafunc.parametrize("kill", kills, ids=lambda kill: kill.__name__)


def test_killed_at_any_moment_the_stage_gives_the_same_in_the_end(
    scene: Scene,
    kill: Callable[[Scene, Typed, random.Random], None],
    number: int,
    pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Only a sender that was killed is started once more."""
    draw = random.Random(f"{kill.__name__} {pytestconfig.getoption('--kill-seed')} {number}")
    home = scene.site.clone(f"{kill.__name__}-{number}")
    scene.remote.admit(home)
    monkeypatch.chdir(home)
    set_params(home, {"recipes.slow.seconds": SECONDS + draw.uniform(0, 0.1)})
    command = ("run", STAGE, "--place", f"train={POOL}")
    sender = type_pipeline(home, *command)
    kill(scene, sender, draw)
    statuses = [sender.process.wait(PATIENCE_S)]
    if statuses[0] and kill is kill_sender:
        sender = type_pipeline(home, *command)
        statuses.append(sender.process.wait(PATIENCE_S))
    with capsys.disabled():
        print(f" ended with {' and '.join(map(str, statuses))}", end=" ")
    assert statuses[-1] == 0, sender.read()
    recipe = read_params(home / "params.yaml")["recipes"]["slow"]
    assert (home / "train-slow.txt").read_text() == str(recipe)
    assert_nothing_is_left(scene.site, home)


def assert_nothing_is_left(site: Site, home: Path) -> None:
    """See that `doctor --fix` leaves no run, no reference, no slot and no tree."""
    assert not [finding for finding in check_server(fix=True) if finding.kind == "bad"]
    assert git(home, "ls-remote", "origin", "refs/pipeline/*") == ""
    wait_until(lambda: all(run.state and run.state.is_final() for run in read_runs(STAGE)), 90)
    with get_client(sync_client=True) as client:
        wait_until(lambda: read_gpu_slots(client) == (1, 0), 150)
    os.chdir(site.worker)
    list(check_trees(fix=True))
    assert not [*(site.worker / ".dvc/tmp/trees").iterdir()]
    assert not find_at_work(site.worker)
    assert "up to date" in dvc(home, "status", STAGE)
