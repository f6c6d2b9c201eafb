import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.engine import supervisor
from flows.engine.overrides import set_params
from flows.engine.repro import (
    KILLED,
    StageFailedError,
    StoppedError,
    count_memory_kills,
    repro,
)
from flows.upkeep.locks import RWLOCK
from tests.flows.toy import assert_nothing_is_left, is_running, wait_until


def test_a_stage_runs_once_and_is_cached_then(new_toy: Path) -> None:
    lines: list[str] = []
    assert repro(new_toy, "fetch", on_line=lines.append) == "ran"
    assert "epoch 1/2  fetch  at work" in lines
    assert repro(new_toy, "fetch") == "cached"


def test_a_lost_out_is_restored(new_toy: Path) -> None:
    repro(new_toy, "fetch")
    (new_toy / "fetch.txt").unlink()
    assert repro(new_toy, "fetch") == "restored"


def test_force_runs_a_current_stage(new_toy: Path) -> None:
    repro(new_toy, "fetch")
    assert repro(new_toy, "fetch", force=True) == "ran"


def test_a_failure_carries_the_stages_own_words_and_status(new_toy: Path) -> None:
    repro(new_toy, "fetch")
    set_params(new_toy, {"recipes.slow.fail": 3})
    with pytest.raises(StageFailedError, match="train@slow: slow was told to fail") as caught:
        repro(new_toy, "train@slow")
    assert caught.value.status == 3
    assert_nothing_is_left(new_toy)


def test_a_failure_of_another_kind_carries_the_stages_last_line(new_toy: Path) -> None:
    (new_toy / "stage.py").write_text("print('at work', flush=True)\nraise ValueError('of no use')")
    words = r"fetch: ValueError: of no use \(failed to reproduce .* exited with 1\)"
    with pytest.raises(StageFailedError, match=words):
        repro(new_toy, "fetch")


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])  # the second says "Killed" itself
def test_a_stage_that_is_killed_names_the_params_that_take_its_memory(
    new_toy: Path, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    monkeypatch.setenv("SHELL", shell)
    code = "import os; print('at work', flush=True); os.kill(os.getpid(), 9)"
    (new_toy / "stage.py").write_text(code)
    words = r"^fetch: killed, .*as memory ran out: lower a\.batch_size \(64\); .*: at work$"
    with pytest.raises(StageFailedError, match=words) as caught:
        repro(new_toy, "fetch", memory="a.batch_size (64)")
    assert caught.value.status in KILLED


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group whose processes may have 300 MB together."""
    folder = Path(f"/sys/fs/cgroup/memory/test-{os.getpid()}")
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(300 * 2**20))
    except OSError:
        pytest.skip("no group for memory can be made on this machine")
    yield folder
    folder.rmdir()


def test_the_kernels_own_count_tells_that_memory_ran_out(small_group: Path) -> None:
    before = count_memory_kills()
    enter = f"open('{small_group}/cgroup.procs', 'w').write('0')"
    code = f"{enter}; rows = [bytearray(2**20) for _ in range(2000)]"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert count_memory_kills() > before


def test_a_stage_that_takes_too_long_is_ended(new_toy: Path) -> None:
    set_params(new_toy, {"fetch.seconds": 600})
    with pytest.raises(StageFailedError, match="not done after 4 s"):
        repro(new_toy, "fetch", timeout_s=4)
    assert_nothing_is_left(new_toy)


def test_a_stop_ends_the_stage(new_toy: Path) -> None:
    set_params(new_toy, {"fetch.seconds": 600})
    stop = threading.Event()

    def listen(line: str) -> None:
        if "at work" in line:
            stop.set()

    with pytest.raises(StoppedError):
        repro(new_toy, "fetch", stop=stop, on_line=listen)
    assert_nothing_is_left(new_toy)
    assert not (new_toy / "fetch.txt").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_a_killed_parent(new_toy: Path, number: signal.Signals) -> None:
    set_params(new_toy, {"fetch.seconds": 600})
    code = f"""
from pathlib import Path
from flows.engine.repro import repro
repro(Path({str(new_toy)!r}), "fetch")
"""
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait_until(lambda: is_running(new_toy))
    parent.send_signal(number)
    parent.wait()
    assert_nothing_is_left(new_toy)


def test_a_lock_file_that_a_killed_dvc_left_half_written_holds_up_nothing(new_toy: Path) -> None:
    (new_toy / RWLOCK).write_text("")
    assert repro(new_toy, "fetch") == "ran"


def test_a_lock_file_that_dvc_leaves_half_written_when_stopped_is_mended(new_toy: Path) -> None:
    code = f"""
import time
rwlock = open({str(RWLOCK)!r}, "w")
print("writing", flush=True)
time.sleep(600)
"""
    process = subprocess.Popen(
        [sys.executable, "-I", supervisor.__file__, sys.executable, "-c", code],
        cwd=new_toy,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        assert process.stdout
        process.stdout.readline()
        process.terminate()
    assert_nothing_is_left(new_toy)


def test_the_number_of_threads_reaches_the_stage(
    new_toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    text = (new_toy / "stage.py").read_text()
    (new_toy / "stage.py").write_text("import os; print(os.environ['OMP_NUM_THREADS'])\n" + text)
    lines: list[str] = []
    repro(new_toy, "fetch", threads=3, on_line=lines.append)
    assert "3" in lines
