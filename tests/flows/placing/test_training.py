"""A real training whose worker is killed: another worker goes on, to the same bits."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from pathlib import Path

import pytest

from flows.engine.overrides import set_params
from flows.orchestration.server import limit_gpu_stages
from flows.placing import runs
from flows.placing.beats import BEAT_S
from flows.placing.pools import register_pools
from tests.flows.placing.conftest import POOL, ending, kill_all, run, start_worker
from tests.flows.toy import dvc, git, wait_until
from tests.projects import ROOT, commit, hash_outs, repro
from tests.warm import QUICK
from vision.base.files import read_json

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.server, pytest.mark.slow]

STAGE = "finetune-resnet@paper"
EPOCHS = 20  # of a second or so
# Networks as small as those of the warm commands.
SMALL = {"PYTHONPATH": f"{QUICK['PYTHONPATH']}{os.pathsep}{ROOT}"}


@pytest.fixture
def clones(changed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The small project at home, a longer training due, and two clones for workers."""
    home = Path(shutil.copytree(changed, tmp_path / "home", symlinks=True))
    set_params(home, {"finetune.paper.epochs": EPOCHS})
    dvc(home, "remote", "add", "--default", "store", "../store")
    commit(home)
    git(tmp_path, "clone", "--quiet", "--bare", "home", "hub.git")
    git(home, "remote", "add", "origin", "../hub.git")
    for name in ("one", "two"):
        git(tmp_path, "clone", "--quiet", "hub.git", name)
    monkeypatch.chdir(home)
    limit_gpu_stages(1)
    register_pools([POOL])
    return [home, tmp_path / "one", tmp_path / "two"]


def count_sent(store: Path) -> int:
    """Return how many epochs have reached the remote."""
    return max(
        (int(read_json(path)["epochs"]) for path in store.glob("checkpoints/*.json")), default=0
    )


def test_another_worker_goes_on_from_the_epoch_that_one_had_sent(
    clones: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(runs, "SILENCE_S", 3 * BEAT_S)
    home, one, two = clones
    undisturbed = Path(shutil.copytree(home, tmp_path / "undisturbed", symlinks=True))
    first = start_worker(one, **SMALL)
    with ExitStack() as workers:
        workers.enter_context(ending(first))

        def change_workers() -> None:
            wait_until(lambda: count_sent(tmp_path / "store"), 120)
            kill_all(first)
            workers.enter_context(ending(start_worker(two, **SMALL)))

        with ThreadPoolExecutor(1) as pool:
            changed = pool.submit(copy_context().run, change_workers)
            state = run("moves", targets=[STAGE], place=[f"{STAGE}={POOL}"])
            changed.result()
    assert state.is_completed(), state.message
    assert "going on after epoch" in caplog.text
    assert not [*(tmp_path / "store/checkpoints").iterdir()]
    repro(undisturbed, "--single-item", STAGE)
    assert hash_outs(home) == hash_outs(undisturbed)
