"""What `pipeline doctor` finds of ended processes, in a toy project, before and after."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.engine.checks import check_run
from flows.engine.names import hold_name
from flows.engine.plan import make_plan
from flows.engine.rwlock import RWLOCK
from flows.upkeep.findings import Finding
from flows.upkeep.locks import (
    LOCK_FILE,
    check_git_lock,
    check_lock_file,
    check_repo_lock,
    check_rwlock,
    check_trees,
    is_lock_file,
    is_whole,
)
from tests.flows.toy import dvc, git
from vision.base.death_signal import end_with_parent
from vision.base.errors import PipelineError


@pytest.fixture(autouse=True)
def _here(new_toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(new_toy)


def find(check: Callable[[bool], Any], *, fix: bool = False) -> list[Finding]:
    return list(check(fix))


def write_rwlock(pid: int, cmd: str = "dvc repro") -> None:
    info = {"pid": pid, "cmd": cmd}
    path = str(Path("fetch.txt").absolute())
    RWLOCK.write_text(json.dumps({"write": {path: info}, "read": {path: [info]}}))


def start_sleeper(*words: str) -> psutil.Popen:
    code = "import time; print('up', flush=True); time.sleep(60)"
    process = psutil.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def assert_found_and_mended(check: Callable[[bool], Any], words: str) -> None:
    (finding,) = find(check)
    assert finding.kind == "bad"
    assert words in finding.text
    assert "pipeline doctor --fix" in finding.text
    (finding,) = find(check, fix=True)
    assert finding.kind == "ok"
    assert not find(check)


def test_a_project_in_order_has_no_findings() -> None:
    dvc(Path(), "repro")
    for check in (check_rwlock, check_repo_lock, check_git_lock, check_lock_file, check_trees):
        assert not find(check)


@pytest.mark.parametrize("content", ["", "{", '{"write": 1}', '{"write": {"a": {}}}', "[]"])
def test_a_rwlock_that_dvc_cannot_read_is_mended(content: str) -> None:
    RWLOCK.write_text(content)
    assert_found_and_mended(check_rwlock, "DVC cannot read the file")
    dvc(Path(), "repro")


def test_an_entry_of_a_process_that_is_gone_is_removed() -> None:
    with start_sleeper() as process:
        process.kill()
    write_rwlock(process.pid)
    assert_found_and_mended(check_rwlock, f"holds locks of no DVC process ({process.pid})")


def test_a_number_that_another_process_has_by_now_blocks_dvc_until_it_is_mended() -> None:
    """Also that of a process on another machine, which no one here can ask."""
    with start_sleeper("dvc", "repro", "late") as process:
        write_rwlock(process.pid, "/usr/bin/dvc repro early")
        with pytest.raises(AssertionError, match="it is being blocked by"):
            dvc(Path(), "repro")
        assert_found_and_mended(check_rwlock, str(process.pid))
        dvc(Path(), "repro")
        process.kill()


def test_a_process_that_started_after_the_entry_is_another() -> None:
    with start_sleeper("repro") as process:
        write_rwlock(process.pid, "dvc repro")
        os.utime(RWLOCK, (time.time() - 3600,) * 2)
        assert_found_and_mended(check_rwlock, str(process.pid))
        process.kill()


def test_the_entry_of_a_dvc_at_work_is_kept() -> None:
    with start_sleeper("repro") as process:
        write_rwlock(process.pid, "dvc repro")
        before = RWLOCK.read_text()
        assert not find(check_rwlock, fix=True)
        assert RWLOCK.read_text() == before
        process.kill()


def test_an_entry_that_a_dvc_writes_while_the_file_is_mended_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with start_sleeper("repro") as process:
        RWLOCK.write_text("")  # as it is while a DVC writes it

        @contextmanager
        def wait_for_the_writer(*_: Any) -> Iterator[None]:
            write_rwlock(process.pid, "dvc repro")
            yield

        monkeypatch.setattr("flows.engine.rwlock.hold_guard", wait_for_the_writer)
        find(check_rwlock, fix=True)
        assert str(process.pid) in RWLOCK.read_text()
        process.kill()


HOLD = """
import sys, time
from dvc.lock import make_lock
with make_lock(".dvc/tmp/lock", tmp_dir=".dvc/tmp", hardlink_lock=bool(sys.argv[1:])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_dvc_at_work_is_a_note() -> None:
    with psutil.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        (finding,) = find(check_repo_lock, fix=True)
        assert finding == ("note", f"DVC is at work here (process {process.pid}): runs wait for it")
        process.kill()
    assert not find(check_repo_lock)


def test_a_hard_link_that_a_killed_dvc_left_is_removed() -> None:
    with psutil.Popen([sys.executable, "-c", HOLD, "hard"], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.kill()
    assert_found_and_mended(check_repo_lock, "is held, but no DVC runs here")


def test_a_truncated_dvc_lock_becomes_the_committed_one() -> None:
    dvc(Path(), "repro")
    git(Path(), "add", "--all")
    git(Path(), "commit", "--quiet", "--message", "Run")
    whole = LOCK_FILE.read_bytes()
    LOCK_FILE.write_bytes(whole[: whole.index(b"outs:") + 2])
    with pytest.raises(AssertionError, match=r"dvc\.lock"):
        dvc(Path(), "status")
    assert_found_and_mended(check_lock_file, "dvc.lock is damaged")
    assert LOCK_FILE.read_bytes() == whole
    assert "up to date" in dvc(Path(), "status")


def test_a_dvc_lock_cut_inside_a_hash_is_damaged_though_dvc_reads_it() -> None:
    dvc(Path(), "repro")
    whole = LOCK_FILE.read_bytes()
    assert is_whole(whole)
    for size in (whole.rindex(b"md5: ") + 20, whole.rindex(b"hash: md5") + 10):
        LOCK_FILE.write_bytes(whole[:size])
        assert is_lock_file(whole[:size])
        (finding,) = find(check_lock_file)
        assert finding.kind == "bad"
        assert "dvc.lock is damaged: pipeline doctor --fix" in finding.text


@pytest.mark.parametrize("name", ["dvc.lock", "dvc.yaml", "params.yaml"])
def test_marks_of_a_merge_are_called_so(name: str) -> None:
    """A real merge of two branches that change the last line of a file."""
    file = Path(name)
    if not file.exists():
        file.write_text("schema: '2.0'\nstages: {}\n")
    git(Path(), "add", "--all")
    git(Path(), "commit", "--quiet", "--allow-empty", "--message", "Base")
    base = file.read_text()
    for branch in ("ours", "theirs"):
        git(Path(), "checkout", "--quiet", "-B", branch, "HEAD" if branch == "ours" else "HEAD~1")
        file.write_text(f"{base}# {branch}\n")
        git(Path(), "commit", "--quiet", "--all", "--message", branch)
    subprocess.run(["git", "merge", "--quiet", "ours"], check=False, capture_output=True)
    words = rf"{name} has marks of a merge in line \d+: keep one side .* --ours {name}"
    with pytest.raises(PipelineError, match=words):
        make_plan()
    with pytest.raises(PipelineError, match=words):
        check_run(Path())
    if file == LOCK_FILE:
        assert "marks of a merge" in find(check_lock_file)[0].text


def test_a_lock_file_is_damaged_wherever_dvc_says_so() -> None:
    dvc(Path(), "repro")
    whole = LOCK_FILE.read_bytes()
    verdicts = set()
    for size in range(0, len(whole) + 1, len(whole) // 8):
        LOCK_FILE.write_bytes(whole[:size])
        status = [sys.executable, "-m", "dvc", "status", "--json"]
        output = subprocess.run(status, check=False, capture_output=True, text=True).stdout
        accepted = output.startswith("{")
        assert is_lock_file(whole[:size]) == accepted
        verdicts.add(accepted)
    assert verdicts == {True, False}


def test_a_damaged_lock_file_that_was_never_committed_is_written_anew() -> None:
    dvc(Path(), "repro")
    whole = LOCK_FILE.read_bytes()
    Path("times.jsonl").unlink()  # where the stages note that they ran
    LOCK_FILE.write_text("schema: '2.0'\nstages:\n  fetch")
    assert_found_and_mended(check_lock_file, "dvc.lock is damaged")
    dvc(Path(), "repro")
    assert LOCK_FILE.read_bytes() == whole
    assert not Path("times.jsonl").exists()


def test_the_index_lock_of_a_killed_git_is_removed() -> None:
    Path(".git/index.lock").touch()
    assert_found_and_mended(check_git_lock, "of a git that is gone")
    git(Path(), "status")


def test_the_index_lock_of_a_linked_worktree_is_removed_from_a_folder_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    git(Path(), "worktree", "add", "--quiet", "--detach", "linked")
    Path("linked/ml").mkdir()
    monkeypatch.chdir("linked/ml")
    assert not find(check_git_lock)
    Path("../../.git/worktrees/linked/index.lock").touch()
    assert_found_and_mended(check_git_lock, "of a git that is gone")


def test_the_tree_of_a_living_run_stays_though_no_process_works_in_it() -> None:
    """It may wait for the GPU."""
    tree = Path(".dvc/tmp/trees/waiting")
    tree.mkdir(parents=True)
    with hold_name("waiting"):
        assert not find(check_trees, fix=True)
        assert tree.exists()
    assert_found_and_mended(check_trees, "trees/waiting")


def test_what_killed_flows_left_is_removed_and_what_lives_is_kept() -> None:
    with start_sleeper() as dead:
        dead.kill()
    alive = start_sleeper()
    Path(".dvc/tmp/trees/old-run").mkdir(parents=True)
    used = Path(".dvc/tmp/trees/new-run")
    used.mkdir()
    waiting = Path(".dvc/tmp/trees/waits-for-the-gpu")
    waiting.mkdir()
    worker = subprocess.Popen(["sleep", "60"], cwd=used, preexec_fn=end_with_parent)
    Path("data").mkdir()
    left, written = (Path(f"data/.a.npy.{process.pid}.tmp") for process in (dead, alive))
    left.touch()
    written.touch()
    with worker, alive, hold_name(waiting.name):
        assert_found_and_mended(check_trees, f".dvc/tmp/trees/old-run, {left}")
        assert used.exists()
        assert waiting.exists()
        with pytest.raises(PipelineError, match="a run named waits-for-the-gpu is at work"):
            hold_name(waiting.name).__enter__()
        assert written.exists()
        worker.kill()
        alive.kill()
