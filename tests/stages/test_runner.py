import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from stages.runner import DVC_STAGE, run_stage
from vision.base.death_signal import watch_parent
from vision.base.errors import DataError

DVC_YAML = """
stages:
  judge:
    matrix: {model: [paper]}
    cmd: python -m stages judge ${item.model}
    params: [seed, "finetune.${item.model}"]
    deps: [code.py, "data/${item.model}"]
    outs: [out]
  draw: {cmd: python -m stages draw, deps: [code.py], outs: [figures]}
"""


@pytest.fixture(autouse=True)
def _project(workspace: Path) -> None:
    (workspace / "dvc.yaml").write_text(DVC_YAML)
    (workspace / "params.yaml").write_text("seed: 0\nfinetune: {paper: {epochs: 1}}\nplot: {}\n")
    (workspace / "code.py").write_text("1")
    (workspace / "data/paper").mkdir(parents=True)
    (workspace / "data/paper/labels").write_text("cat")


def run(main: Callable[[str], None], *names: str) -> int:
    return run_stage(["judge", *names], load=lambda stage: main)


def judge(name: str) -> None:
    Path("out").write_text(name)


def test_a_stage_that_ends_well_has_status_0() -> None:
    assert run(judge, "paper") == 0
    assert Path("out").read_text() == "paper"


@pytest.mark.parametrize(
    ("path", "text", "named"),
    [
        ("code.py", "2", "code.py"),
        ("data/paper/labels", "dog", "data/paper"),
        ("params.yaml", "seed: 1\nfinetune: {paper: {epochs: 1}}", "seed"),
        ("params.yaml", "seed: 0\nfinetune: {paper: {epochs: 2}}", "finetune.paper"),
    ],
)
def test_an_edit_while_a_stage_runs_fails_it_and_is_named(
    path: str, text: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def edit(name: str) -> None:
        Path(path).write_text(text)

    assert run(edit, "paper") == 1
    assert capsys.readouterr().err == (
        f"error: {named} changed while judge was running: run it again\n"
    )


def test_an_edit_of_another_stages_section_or_of_a_comment_does_no_harm() -> None:
    def edit(name: str) -> None:
        text = "seed: 0 # new words\nfinetune: {paper: {epochs: 1}}\nplot: {dpi: 99}\n"
        Path("params.yaml").write_text(text)

    assert run(edit, "paper") == 0


def test_a_known_error_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(name: str) -> None:
        raise DataError("data/raw has one class, 'cat': add a second")

    assert run(fail, "paper") == 1
    assert capsys.readouterr().err == "error: data/raw has one class, 'cat': add a second\n"


def test_an_interrupt_is_one_line_and_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    assert run(interrupt, "paper") == 130
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "judge takes one name, not 'none'"),
        (["a", "b"], "judge takes one name, not 'a b'"),
        (["$(id)"], "'$(id)' cannot name a recipe"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(judge, *arguments) == 1
    assert message in capsys.readouterr().err


ROOT = Path(__file__).parents[2]
STAGE = [sys.executable, "-m", "tests.stages.stage_that_waits", "paper"]
PARENT = """
import subprocess, sys, time
stage = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
print(stage.pid, stage.stdout.readline().decode().strip(), flush=True)
time.sleep(60)
"""


def start(*command: str, **environment: str) -> subprocess.Popen[str]:
    """Start a command, and return once it has said that it is at work."""
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets what it starts in the background ignore Ctrl-C; that is passed on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout
    assert "at work" in process.stdout.readline()
    return process


def test_a_second_copy_is_refused_and_the_first_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.runner.ENDING_S", 0.1)
    with start(*STAGE) as first:
        assert run(judge, "paper") == 1
        assert capsys.readouterr().err == (
            "error: judge@paper is at work in this folder already: wait for it or end it\n"
        )
        assert first.poll() is None
        first.kill()
    assert run(judge, "paper") == 0


def test_a_copy_that_is_about_to_end_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    with start(*STAGE) as first:
        threading.Timer(0.5, first.terminate).start()
        assert run(judge, "paper") == 0
    assert "judge@paper is at work in this folder: giving it 20 s to end" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGTERM, 143, "judge was told to end; nothing half-written is left\n"),
        (signal.SIGINT, 130, "judge was interrupted; nothing half-written is left\n"),
    ],
)
def test_a_stage_that_is_told_to_end_leaves_nothing_half_written(
    number: int, status: int, said: str
) -> None:
    with start(*STAGE) as stage:
        stage.send_signal(number)
        _, error = stage.communicate(timeout=20)
    assert (stage.returncode, error) == (status, said)
    assert not [path.name for path in Path().iterdir() if "out" in path.name]


def start_under_parent(**environment: str) -> tuple[subprocess.Popen[str], psutil.Process]:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *STAGE],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    return parent, psutil.Process(int(parent.stdout.readline().split()[0]))


def test_a_stage_of_dvc_ends_when_dvc_is_killed() -> None:
    parent, stage = start_under_parent(**{DVC_STAGE: "judge@paper"})
    with parent:
        parent.kill()
        psutil.wait_procs([stage], timeout=20)
    assert not stage.is_running()
    assert not list(Path().glob(".out*"))


def test_a_stage_by_hand_outlives_the_shell_that_started_it() -> None:
    parent, stage = start_under_parent()
    with parent:
        parent.kill()
        _, alive = psutil.wait_procs([stage], timeout=2)
    assert alive
    stage.kill()


def test_without_a_death_signal_the_parent_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other systems than Linux do."""
    monkeypatch.setattr("vision.base.death_signal.POLL_S", 0.01)
    parents = iter([7, 7, 7, 1])
    monkeypatch.setattr("os.getppid", lambda: next(parents))
    told: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda *signalled: told.append(signalled))
    watcher = threading.Thread(target=watch_parent, args=(7, signal.SIGTERM))
    watcher.start()
    watcher.join(timeout=10)
    assert told == [(os.getpid(), signal.SIGTERM)]


def fail_with(error: OSError) -> Callable[[str], None]:
    def fail(name: str) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "data/raw/images.npy"),
            "no room is left for data/raw/images.npy: free some, then run it again",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "no room is left for a file: free some, then run it again",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "data/raw/images.npy"),
            "data/raw/images.npy is missing: dvc repro makes it, dvc checkout brings it back",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "reports"),
            "reports: Read-only file system",
        ),
    ],
)
def test_an_error_of_the_system_is_one_line(
    error: OSError, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(fail_with(error), "paper") == 1
    assert capsys.readouterr().err == f"error: {said}\n"


def test_an_error_of_the_system_that_names_no_file_is_a_fault_of_ours() -> None:
    with pytest.raises(OSError, match="strange"):
        run(fail_with(OSError("strange")), "paper")


def allocate(name: str) -> None:
    torch.nn.Linear(3072, 10**11)


def reserve(name: str) -> None:
    np.zeros(2**60, np.uint8)


def overflow(name: str) -> None:
    torch.nn.Linear(3072, 10**20)


@pytest.mark.parametrize("use", [allocate, reserve, overflow])
def test_memory_that_runs_out_is_one_line_with_the_params_to_lower(
    use: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    text = "seed: 0\nfinetune: {paper: {epochs: 1, batch_size: 64, input_px: 80}}"
    Path("params.yaml").write_text(text)
    assert run(use, "paper") == 1
    assert capsys.readouterr().err == (
        "error: judge ran out of memory: "
        "lower finetune.paper.batch_size (64) or finetune.paper.input_px (80), or raise "
        "finetune.paper.accumulate, the pieces of a batch\n"
    )
