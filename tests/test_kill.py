"""The pipeline, killed again and again, gives what it gives undisturbed. Real runs, on digits."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from flows.engine.rwlock import mend_rwlock
from flows.upkeep.locks import (
    check_git_lock,
    check_lock_file,
    check_repo_lock,
    check_rwlock,
    check_trees,
)
from tests.flows.toy import wait_until
from tests.projects import commit, find_processes, hash_outs, keep_models, repro, run
from tests.warm import DIES, QUICK, find_commands

pytestmark = pytest.mark.slow

KILLS = 12
LONGEST_S = 2.5  # from the start of a stage to its end, and while DVC caches what it gave


@dataclass
class Kills:
    """After how many seconds of a stage DVC is killed, in the order in which stages start."""

    draw: random.Random
    spared: set[str]  # stages that have not been hit yet
    left: int = KILLS

    def plan(self, stage: str) -> float | None:
        """Return when to kill this time: each stage at least once, then whichever comes."""
        is_due = stage in self.spared or self.left > len(self.spared)
        if not is_due:
            return None
        self.spared.discard(stage)
        self.left -= 1
        return self.draw.uniform(0, LONGEST_S)


def link_dvc(folder: Path) -> Path:
    """Return a folder with the warm `dvc`, and without the warm `python`."""
    found = folder / "bin"
    if not found.exists():
        found.mkdir()
        (found / "dvc").symlink_to(str(shutil.which("dvc", path=find_commands())))
    return found


def run_until_killed(project: Path, kills: Kills) -> bool:
    """Run `dvc repro`, kill it when a stage's time has come, and say whether it went to the end.

    A stage that ends before its time gives it to the start of the next: none ends unseen. DVC is a
    warm one; stages have to see for themselves that it is gone, and are real.
    """
    path = f"{link_dvc(project.parent)}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        ["dvc", "repro"],
        cwd=project,
        env=os.environ | QUICK | DIES | {"PATH": path, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output, timer = "", None
    with process:
        assert process.stdout
        for line in process.stdout:
            output += line
            started = re.match(r"Running stage '([^']+)'", line)
            if started and timer:
                process.kill()
                break
            if started and (delay := kills.plan(started[1])) is not None:
                timer = threading.Timer(delay, process.kill)
                timer.start()
    if timer:
        timer.cancel()
    assert process.returncode in (0, -signal.SIGKILL), output
    return process.returncode == 0


@pytest.fixture
def made(changed: Path) -> Path:
    """The project with one of its four models, all stages run."""
    keep_models(changed, finetune=["paper"])
    repro(changed)
    return changed


@pytest.fixture
def unmade(made: Path, tmp_path: Path) -> Path:
    """A copy of it in which no stage has run."""
    folder = tmp_path / "unmade"
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns("cache", "dvc.lock"))
    shutil.rmtree(folder / "data")
    run(folder, "git", "checkout", "--quiet", "--", "data")
    commit(folder)
    return folder


def test_killed_at_many_moments_it_gives_the_same_bytes(
    made: Path, unmade: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = hash_outs(made)
    monkeypatch.chdir(unmade)
    stages = run(unmade, "dvc", "stage", "list", "--name-only").split()
    kills = Kills(random.Random(0), set(stages))
    while not run_until_killed(unmade, kills):
        wait_until(lambda: not find_processes(unmade))
        assert not [finding for finding in check_lock_file(fix=True) if finding.kind == "bad"]
        if any("cannot read" in finding.text for finding in check_rwlock(fix=False)):
            mend_rwlock()
    assert (kills.left, kills.spared) == (0, set())
    assert hash_outs(unmade) == expected
    assert not repro(unmade)
    assert not list(unmade.glob("**/.*.tmp"))
    mend_rwlock()  # entries of killed processes: they hold nothing up
    for check in (check_rwlock, check_repo_lock, check_git_lock, check_trees):
        assert not list(check(False))


def test_a_training_killed_in_its_last_epoch_goes_on_from_the_one_before(changed: Path) -> None:
    params = yaml.safe_load((changed / "params.yaml").read_text())
    params["finetune"]["paper"]["epochs"] = 3
    (changed / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    command = ["dvc", "repro", "--single-item", "finetune-resnet@paper"]
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=changed,
        env=os.environ | QUICK | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("epoch 2/3"):
                process.kill()
                break
    wait_until(lambda: not find_processes(changed))  # it may be writing its checkpoint
    lines = run(changed, *command).splitlines()
    assert any(line.startswith("going on after epoch") for line in lines)
    assert not any(line.startswith("epoch 1/3") for line in lines)
