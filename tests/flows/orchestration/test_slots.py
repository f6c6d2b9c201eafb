"""Runs that share one GPU: waiting, interrupted, cancelled, killed, and without their server."""

import logging
import signal
import socket
import threading
import time
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import ConcurrencyLeaseHolder, FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling, Running

from flows.engine.overrides import set_params
from flows.orchestration import reach, recording, slots
from flows.orchestration.server import GPU_LIMIT, limit_gpu_stages, read_gpu_slots
from flows.orchestration.signs import list_at_work
from flows.pipeline import pipeline
from flows.upkeep.findings import bad, good
from flows.upkeep.locks import check_trees
from flows.upkeep.records import check_server
from tests.flows.commands.typed import Typed, type_pipeline
from tests.flows.line import Line, faulty
from tests.flows.toy import assert_nothing_is_left, is_running, read_times, wait_until

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.server]

LONG = "recipes.slow.seconds=600"
HOST = socket.gethostname()


def find_own(client: SyncPrefectClient, typed: Typed) -> FlowRun:
    """Return the record of a run that was typed."""
    (found,) = (
        run
        for run in list_at_work(client)
        if run.labels.get("pipeline.process") == typed.process.pid and not run.parent_task_run_id
    )
    return found


def find_task(client: SyncPrefectClient, run: FlowRun, name: str) -> UUID:
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    (task,) = (t for t in client.read_task_runs(flow_run_filter=of_run) if t.name == name)
    return task.id


def read_state(client: SyncPrefectClient, task: UUID) -> str:
    return str(client.read_task_run(task).state_name)


def test_runs_wait_for_the_gpu_aloud_and_end_when_told_or_killed(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hold a slot; a sweep waits and is interrupted, one is cancelled, the other killed."""
    monkeypatch.chdir(toy)
    limit_gpu_stages(2)
    names = ("first", "killed")
    first, killed = (
        type_pipeline(toy, "run", "train@slow", "--name", name, "-S", LONG) for name in names
    )
    for name in names:
        wait_until(lambda tree=toy / ".dvc/tmp/trees" / name: is_running(tree))
    with get_client(sync_client=True) as client:
        run, dead = find_own(client, first), find_own(client, killed)
        cancelled, task = (find_task(client, each, "train@slow") for each in (run, dead))

        grid = "recipes.slow.seconds=500,550"
        waiting = type_pipeline(toy, "sweep", "-g", grid, "--name", "many", "--parallel", "2")
        for holder, typed in ((run, first), (dead, killed)):
            process = f"process {typed.process.pid} on {HOST}"
            said = f"held by train@slow of the run {holder.name} ({process})"
            wait_until(lambda said=said: waiting.read().count(said) == 2)
        experiments = [find_task(client, find_own(client, waiting), f"many-{n}") for n in (1, 2)]
        assert not list(check_trees(fix=True))  # those of runs that wait have no process in them
        waiting.process.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert waiting.process.wait(60) == 130
        assert time.monotonic() - began < 10
        assert "Traceback" not in waiting.read()
        assert {tree.name for tree in Path(".dvc/tmp/trees").iterdir()} == {*names}

        client.set_flow_run_state(run.id, Cancelling())  # as `prefect flow-run cancel` does
        assert first.process.wait(60) == 130
        assert client.read_flow_run(run.id).state_name == "Cancelled"
        for each in (cancelled, *experiments):
            wait_until(lambda each=each: read_state(client, each) == "Cancelled")
        assert read_gpu_slots(client) == (2, 1)

        killed.process.kill()
        killed.process.wait()
        assert_nothing_is_left(toy)
        client.set_flow_run_state(dead.id, Cancelling())
        what = f"the run {dead.name} is Cancelling, but its process {killed.process.pid} on {HOST}"
        found = list(check_server(fix=False))
        assert bad(f"{what} is gone: pipeline doctor --fix says so to the server") in found
        assert bad("GPU slots: 1 taken, 0 in use: pipeline doctor --fix frees them") in found
        assert good(f"{what} is gone: it is Crashed now") in list(check_server(fix=True))
        assert read_gpu_slots(client) == (2, 0)
        assert not [note for note in check_server(fix=False) if note.kind == "bad"]

        limit_gpu_stages(1)
        holder = ConcurrencyLeaseHolder(type="task_run", id=task)
        client.increment_concurrency_slots_with_lease(["tag:gpu"], 1, "concurrency", 600, holder)
        client.set_flow_run_state(dead.id, Running(), force=True)
        set_params(toy, {"recipes.slow.seconds": 0.1})
        began = time.monotonic()
        assert pipeline(targets=["train@slow"], return_state=True).is_completed()
        assert time.monotonic() - began < 30  # not those of the lease
        assert client.read_flow_run(dead.id).state_name == "Crashed"


def test_a_slot_that_the_server_forgot_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_gpu_stages(1)
    monkeypatch.setattr(slots, "get_run_logger", logging.getLogger)
    monkeypatch.setattr(slots, "RENEW_S", 0.1)
    lease = slots._Lease([GPU_LIMIT], ConcurrencyLeaseHolder(type="task_run", id=uuid4()))
    assert lease.wait_for()
    with get_client(sync_client=True) as client:
        client.release_concurrency_slots_with_lease(forgotten := lease.number)
        assert read_gpu_slots(client) == (1, 0)
        keeper = threading.Thread(target=lease.keep)
        keeper.start()
        wait_until(lambda: lease.number not in (None, forgotten))
        assert read_gpu_slots(client) == (1, 1)
        lease.ended.set()
        keeper.join()
        assert read_gpu_slots(client) == (1, 0)


def test_a_slot_is_not_lost_with_an_answer_nor_kept_from_others_by_a_busy_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else it would be held until its lease ends, and whoever waits for it would wait as long."""
    limit_gpu_stages(1)
    monkeypatch.setattr(slots, "get_run_logger", logging.getLogger)
    monkeypatch.setattr(slots, "RETRY_S", 0.1)
    holder = ConcurrencyLeaseHolder(type="task_run", id=uuid4())
    url, began = str(PREFECT_API_URL.value()), time.monotonic()
    with (
        get_client(sync_client=True) as client,
        faulty(url.removesuffix("/api"), "decrement-with-lease", "increment-with-lease") as way,
        temporary_settings({PREFECT_API_URL: f"{way}/api"}),
    ):
        with slots.hold_slots([GPU_LIMIT], holder):
            assert read_gpu_slots(client) == (1, 1)
        wait_until(lambda: read_gpu_slots(client) == (1, 0))
    assert time.monotonic() - began < slots.LEASE_S / 4


def test_a_server_that_is_away_ends_no_training(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes in the midst of one stage, and comes back when the next should long have begun.

    Then it goes for good, and the run ends soon.
    """
    monkeypatch.chdir(toy)
    limit_gpu_stages(1)
    set_params(toy, {"recipes.slow.seconds": 2, "recipes.quick.seconds": 0.1})
    line = Line(int(str(PREFECT_API_URL.value()).split(":")[2].split("/")[0]))

    def be_away() -> None:
        wait_until(lambda: is_running(toy))
        line.cut()
        time.sleep(6)
        line.mend()

    away = threading.Thread(target=be_away)
    away.start()
    began = time.time()
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{line.port}/api"}):
        state = pipeline(return_state=True)
    away.join()
    assert state.message == "3 of 6 stages ran: train@slow, train@quick, report"
    times = read_times(toy)
    assert times["train@slow"][0] > began
    assert times["train@quick"][0] > began
    with get_client(sync_client=True) as client:
        wait_until(lambda: read_gpu_slots(client) == (1, 0))

    monkeypatch.setattr(recording, "END_S", 1)
    monkeypatch.setattr(reach, "ANSWER_S", 1)
    set_params(toy, {"report.seconds": 1})
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{line.port}/api"}):
        for_good = threading.Thread(
            target=lambda: wait_until(lambda: is_running(toy)) or line.cut()
        )
        for_good.start()
        state = pipeline(return_state=True)
    for_good.join()
    assert state.message == "1 of 6 stages ran: report"
    assert not reach.hand_over()  # what the server has not got is left behind
    line.mend()
