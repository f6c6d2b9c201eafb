import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from tests.projects import ROOT, run
from vision.base.distributed import WORKER, has_left, is_worker, take_share
from vision.base.errors import ParamsError
from vision.base.files import read_json
from vision.base.kept import CHECKPOINTS
from vision.base.launching import PROCESSES, count_wanted, launch


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def fit_in(processes: int, folder: Path, per_class: int) -> Path:
    folder.mkdir()
    module, arguments = "tests.vision.training.distributed_fit", [str(folder), str(per_class)]
    if processes == 1:
        subprocess.run([sys.executable, "-m", module, *arguments], check=True)
    else:
        assert launch(processes, module, arguments) == 0
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("warm_python")
@pytest.mark.parametrize(("processes", "per_class"), [(2, 5), (4, 1)])
def test_several_processes_give_what_one_gives(
    processes: int, per_class: int, tmp_path: Path
) -> None:
    """15 images are batches of 8 and 7; of 3 in four processes one gets none."""
    one = fit_in(1, tmp_path / "one", per_class)
    several = fit_in(processes, tmp_path / "several", per_class)
    expected = load_file(one / "last.safetensors")
    for key, value in load_file(several / "last.safetensors").items():
        assert torch.allclose(value, expected[key], rtol=1e-7, atol=1e-9), key
    for ours, theirs in zip(*map(read_history, (several, one)), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("warm_python")
def test_two_runs_in_two_processes_are_equal_byte_for_byte(tmp_path: Path) -> None:
    first, second = (fit_in(2, tmp_path / name, 5) for name in ("first", "second"))
    for name in ("last.safetensors", "history.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def read_history(folder: Path) -> list[dict[str, float]]:
    return list(read_json(folder / "history.json"))


@pytest.mark.parametrize("count", [1, 2, 7, 64])
@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_every_image_of_a_batch_is_in_one_share(
    count: int, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dealt: list[int] = []
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: processes)
    for rank in range(processes):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        share = range(count)[take_share(count)]
        assert count // processes <= len(share) <= -(-count // processes)
        dealt += share
    assert dealt == list(range(count))


def test_a_number_of_processes_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROCESSES, "0")
    with pytest.raises(ParamsError, match="PIPELINE_PROCESSES is '0'"):
        count_wanted()


def test_a_platforms_world_size_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert not is_worker()
    monkeypatch.setenv(WORKER, "1")
    assert is_worker()
    code = "import os; os.environ['PIPELINE_WORKER'] and os.environ['WORLD_SIZE'] == '2' or 1 / 0"
    assert launch(2, "timeit", ["-n1", "-r1", code]) == 0


WAITING = "tests.vision.base.waiting"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_a_launcher_that_is_killed_or_told_to_end(number: int) -> None:
    code = f"from vision.base.launching import launch; launch(2, {WAITING!r}, [])"
    with psutil.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as launcher:
        assert sorted(launcher.stdout.readline() for _ in range(2)) == [b"0\n", b"1\n"]
        workers = launcher.children()
        launcher.send_signal(number)
        _, alive = psutil.wait_procs([launcher, *workers], timeout=60)
    assert len(workers) == 2
    assert not alive
    assert launcher.returncode == -number


def test_a_worker_that_fails_ends_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    assert launch(2, WAITING, ["1", "3"]) == 3
    assert time.monotonic() - started < 300
    assert capfd.readouterr().err == ""  # torchrun adds nothing to what it says itself


@pytest.mark.slow
def test_a_stage_trains_in_two_processes_and_says_once_what_is_wrong(changed: Path) -> None:
    train = ["python", "-m", "stages", "train-baselines", "two-layer-fc"]
    one = load_file(changed / "data/models/two-layer-fc/last.safetensors")
    run(changed, "env", f"{PROCESSES}=2", f"{CHECKPOINTS}=", *train)
    two = load_file(changed / "data/models/two-layer-fc/last.safetensors")
    assert all(torch.allclose(two[key], value, rtol=1e-5, atol=1e-6) for key, value in one.items())
    timing = read_json(changed / "data/timings/two-layer-fc.json")
    assert timing["device"].startswith("2 processes on ")
    (changed / "data/split/train.npy").unlink()
    for processes, said in {
        "two": "PIPELINE_PROCESSES is 'two'; give a number of processes, 1 or more",
        "2": "data/split/train.npy is missing: dvc repro makes it, dvc checkout brings it back",
    }.items():
        with pytest.raises(AssertionError) as failed:
            run(changed, "env", f"{PROCESSES}={processes}", *train)
        assert str(failed.value).splitlines()[1:] == [f"error: {said}"]


@pytest.mark.slow
@pytest.mark.usefixtures("warm_python")
def test_processes_that_train_on_different_things_are_refused(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert launch(2, "tests.vision.base.comparing", []) == 1
    assert capfd.readouterr().err == (
        "the machines of this training differ in data/split: give all of them the same commit, "
        "params and data\n"
    )


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (
            RuntimeError("[gloo/transport/tcp/pair.cc:538] Connection closed by peer [10.0.0.2]"),
            True,
        ),
        (torch.distributed.DistBackendError("NCCL error"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_a_process_that_has_left_is_told_from_a_fault(error: RuntimeError, is_so: bool) -> None:
    assert has_left(error) == is_so
