"""A toy DVC project whose stages sleep, fail and write, to see how the flows drive DVC.

    fetch ──> train@slow, train@quick ──> report
        └───> count@one, count@two

`train` is tagged gpu, `count` is not. Each stage notes in times.jsonl when it began and ended; with
`meet: 2` it waits until so many of its matrix have begun.
"""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.warm import find_commands

STAGE = """
import glob, json, os, sys, time, yaml
stage, name = sys.argv[1], (sys.argv[2:] or [""])[0]
params = yaml.safe_load(open("params.yaml"))
recipe = params["recipes"].get(name, {}) if stage == "train" else params[stage]
began = time.time()
print(f"epoch 1/2  {stage} {name} at work", flush=True)
open(f"{stage}-{name}.here", "w").write(str(os.getpid()))
while len(glob.glob(f"{stage}-*.here")) < recipe.get("meet", 0):
    assert time.time() < began + 60, "no one came"
    time.sleep(0.02)
time.sleep(recipe.get("seconds", 0))
if recipe.get("fail"):
    print(f"error: {name or stage} was told to fail", file=sys.stderr)
    sys.exit(recipe["fail"])
print(f"epoch 2/2  {stage} {name} done", flush=True)
open("-".join(filter(None, [stage, name])) + ".txt", "w").write(str(recipe))
with open("times.jsonl", "a") as times:
    print(json.dumps([stage, name, began, time.time()]), file=times)
"""

DVC: dict[str, Any] = {
    "fetch": {
        "cmd": "python stage.py fetch",
        "deps": ["stage.py"],
        "params": ["fetch"],
        "outs": ["fetch.txt"],
    },
    "train": {
        "matrix": {"name": "${names}"},
        "cmd": "python stage.py train ${item.name}",
        "deps": ["fetch.txt"],
        "params": ["recipes.${item.name}"],
        "outs": ["train-${item.name}.txt"],
        "meta": {"prefect": {"tags": ["gpu"], "retries": 1, "retry_delay_seconds": 0}},
    },
    "count": {
        "matrix": {"name": ["one", "two"]},
        "cmd": "python stage.py count ${item.name}",
        "deps": ["fetch.txt"],
        "params": ["count"],
        "outs": ["count-${item.name}.txt"],
    },
    "report": {
        "cmd": "python stage.py report",
        "deps": ["train-slow.txt", "train-quick.txt"],
        "params": ["report"],
        "outs": ["report.txt"],
    },
}
PARAMS: dict[str, Any] = {
    "names": ["slow", "quick"],
    "fetch": {"seconds": 0},
    "recipes": {"slow": {"seconds": 0, "fail": 0}, "quick": {"seconds": 0, "fail": 0}},
    "count": {"seconds": 0},
    "report": {"seconds": 0},
}


def make_toy(folder: Path) -> None:
    """Make the project, committed, with no stage run."""
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": DVC}, sort_keys=False))
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS, sort_keys=False))
    (folder / ".gitignore").write_text("/*.txt\n/*.here\n/times.jsonl\n__pycache__/\n")
    git(folder, "init", "--quiet")
    for key in ("user.name", "user.email"):
        git(folder, "config", key, "test@example.org")
    dvc(folder, "init", "--quiet")
    dvc(folder, "config", "core.analytics", "false")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Start")


def git(folder: Path, *arguments: str) -> str:
    return _run(folder, "git", *arguments)


def dvc(folder: Path, *arguments: str) -> str:
    return _run(folder, "dvc", *arguments)


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": find_commands()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def read_times(folder: Path) -> dict[str, tuple[float, float]]:
    """Return when each stage began and ended, in seconds since 1970."""
    lines = (folder / "times.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return {"@".join(filter(None, row[:2])): (row[2], row[3]) for row in rows}


def find_processes(toy: Path) -> list[str]:
    """Return the command lines of what works in the project, pytest itself apart."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it ended while we looked
            if process.pid != os.getpid() and process.cwd() == str(toy):
                found.append(" ".join(process.cmdline()))
    return found


def is_running(toy: Path) -> bool:
    """Say whether a stage of the project is at work."""
    return any(_is_stage(path.read_text()) for path in toy.glob("*.here"))


def _is_stage(number: str) -> bool:
    with contextlib.suppress(psutil.Error, ValueError):  # it ended, or has not written it yet
        return "stage.py" in psutil.Process(int(number)).cmdline()
    return False


def wait_until(condition: Callable[[], object], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def assert_nothing_is_left(toy: Path) -> None:
    wait_until(lambda: not find_processes(toy))
    assert dvc(toy, "status")  # fails where a lock is held
    lock = toy / ".dvc/tmp/rwlock"
    assert not lock.exists() or not any(json.loads(lock.read_text()).values())
