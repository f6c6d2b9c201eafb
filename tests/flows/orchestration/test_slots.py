"""Runs that share one GPU: waiting, interrupted, cancelled, killed, and without their server."""

import signal
import socket
import threading
import time
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import ConcurrencyLeaseHolder, FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling, Running

from flows.engine.overrides import set_params
from flows.orchestration.server import limit_gpu_stages, read_gpu_slots
from flows.orchestration.signs import list_at_work
from flows.pipeline import pipeline
from flows.upkeep.findings import bad, good
from flows.upkeep.locks import check_trees
from flows.upkeep.records import check_server
from tests.flows.commands.typed import Typed, type_pipeline
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
    monkeypatch.chdir(toy)
    limit_gpu_stages(1)
    with get_client(sync_client=True) as client:
        first = type_pipeline(toy, "run", "train@slow", "--name", "first", "-S", LONG)
        wait_until(lambda: is_running(toy / ".dvc/tmp/trees/first"))
        run = find_own(client, first)
        task = find_task(client, run, "train@slow")

        grid = "recipes.slow.seconds=500,550"
        waiting = type_pipeline(toy, "sweep", "-g", grid, "--name", "many", "--parallel", "2")
        said = f"held by train@slow of the run {run.name} (process {first.process.pid} on {HOST})"
        wait_until(lambda: waiting.read().count(said) == 2)
        assert not list(check_trees(fix=True))  # those of runs that wait have no process in them
        waiting.process.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert waiting.process.wait(60) == 130
        assert time.monotonic() - began < 10
        assert "Traceback" not in waiting.read()
        assert {tree.name for tree in Path(".dvc/tmp/trees").iterdir()} == {"first"}

        client.set_flow_run_state(run.id, Cancelling())  # as `prefect flow-run cancel` does
        assert first.process.wait(60) == 130
        assert client.read_flow_run(run.id).state_name == "Cancelled"
        wait_until(lambda: read_state(client, task) == "Cancelled")
        assert read_gpu_slots(client) == (1, 0)
        assert_nothing_is_left(toy)

        killed = type_pipeline(toy, "run", "train@slow", "--name", "killed", "-S", LONG)
        wait_until(lambda: is_running(toy / ".dvc/tmp/trees/killed"))
        dead = find_own(client, killed)
        task = find_task(client, dead, "train@slow")
        killed.process.kill()
        killed.process.wait()
        client.set_flow_run_state(dead.id, Cancelling())
        what = f"the run {dead.name} is Cancelling, but its process {killed.process.pid} on {HOST}"
        found = list(check_server(fix=False))
        assert bad(f"{what} is gone: pipeline doctor --fix says so to the server") in found
        assert bad("GPU slots: 1 taken, 0 in use: pipeline doctor --fix frees them") in found
        assert good(f"{what} is gone: it is Crashed now") in list(check_server(fix=True))
        assert read_gpu_slots(client) == (1, 0)
        assert not [note for note in check_server(fix=False) if note.kind == "bad"]

        holder = ConcurrencyLeaseHolder(type="task_run", id=task)
        client.increment_concurrency_slots_with_lease(["tag:gpu"], 1, "concurrency", 600, holder)
        client.set_flow_run_state(dead.id, Running(), force=True)
        set_params(toy, {"recipes.slow.seconds": 0.1})
        began = time.monotonic()
        assert pipeline(targets=["train@slow"], return_state=True).is_completed()
        assert time.monotonic() - began < 30  # not those of the lease
        assert client.read_flow_run(dead.id).state_name == "Crashed"


class Line:
    """A way to a server that can be cut."""

    def __init__(self, port: int) -> None:
        self.target, self.open = port, True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends: list[socket.socket] = []
        threading.Thread(target=self.listen, args=(self.listener,), daemon=True).start()

    def listen(self, listener: socket.socket) -> None:
        while True:
            try:
                here, _ = listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self.target))
            self.ends += [here, there]
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def carry(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            sink.close()

    def cut(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for end in self.ends:
            end.close()

    def mend(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.listen, args=(self.listener,), daemon=True).start()


def test_a_server_that_is_away_ends_no_training(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes in the midst of one stage, and comes back when the next should long have begun."""
    monkeypatch.chdir(toy)
    limit_gpu_stages(1)
    set_params(toy, {"recipes.slow.seconds": 3, "recipes.quick.seconds": 0.1})
    line = Line(int(str(PREFECT_API_URL.value()).split(":")[2].split("/")[0]))

    def be_away() -> None:
        wait_until(lambda: is_running(toy))
        line.cut()
        time.sleep(8)
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
