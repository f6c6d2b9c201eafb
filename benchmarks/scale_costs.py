"""Measure what placing a stage costs on this machine: git, Prefect's server, a remote's answers."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from dvc_http import HTTPFileSystem
from dvc_objects.db import ObjectDB
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Running

from benchmarks.scale_model import Costs
from flows.orchestration.reach import wait_for
from flows.orchestration.server import start
from flows.placing.bundles import write_bundle
from flows.placing.runs import POLL_S, Follower

ROUNDS = 5
ROOT = Path(__file__).parents[1]
BUNDLED = "refs/pipeline/new/stage"
REFERENCES = (0, 1_000, 10_000)  # in the repository that is pushed to
TOGETHER = 50  # children that are looked at by one question
SHORT = {"PREFECT_SERVER_LOGGING_LEVEL": "ERROR", "PREFECT_LOGGING_LEVEL": "ERROR"}


def time_it(act: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median seconds of an act."""
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def git(folder: Path, *arguments: str, text: str = "") -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost", *arguments]
    done = subprocess.run(command, cwd=folder, input=text, capture_output=True, text=True)
    done.check_returncode()
    return done.stdout.strip()


def measure_git(references: tuple[int, ...] = REFERENCES) -> dict[int, tuple[float, float]]:
    """Return the seconds of a push of a reference, and of a fetch, by how many are there."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        remote, home, away = (Path(name) / each for each in ("remote", "home", "away"))
        git(Path(name), "init", "--quiet", "--bare", str(remote))
        git(Path(name), "clone", "--quiet", str(remote), str(home))
        git(home, "commit", "--quiet", "--allow-empty", "--message", "Begin")
        git(home, "push", "--quiet", "origin", "HEAD")
        git(Path(name), "clone", "--quiet", str(remote), str(away))
        commit = git(home, "rev-parse", "HEAD")
        for count in references:
            wanted = (f"update refs/pipeline/{number}/stage {commit}\n" for number in range(count))
            git(remote, "update-ref", "--stdin", text="".join(wanted))
            found[count] = _time_git(home, away)
    return found


def _time_git(home: Path, away: Path) -> tuple[float, float]:
    numbers = iter(range(10**6))

    def push() -> None:
        commit = git(home, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", str(next(numbers)))
        git(home, "push", "--quiet", "origin", f"+{commit}:refs/pipeline/new/stage")

    pushed = time_it(push)
    fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "origin")
    fetched = time_it(lambda: git(away, *fetch, "refs/pipeline/new/stage"))
    git(home, "push", "--quiet", "origin", ":refs/pipeline/new/stage")
    return pushed, fetched


class Bundle(NamedTuple):
    """What a bundle of this project takes."""

    bytes: int
    write_s: float
    write_cpu_s: float
    fetch_s: float


def measure_bundle() -> Bundle:
    """Write a bundle of this project's files, and take it in a repository that has none of them."""
    with tempfile.TemporaryDirectory() as name:
        home, away, path = (Path(name) / each for each in ("home", "away", "bundle"))
        git(Path(name), "clone", "--quiet", str(ROOT), str(home))
        commit = git(home, "commit-tree", "HEAD^{tree}", "-m", "Begin")

        def fetch() -> None:
            git(Path(name), "init", "--quiet", "--bare", str(away))
            git(away, "fetch", "--quiet", "--no-write-fetch-head", str(path), BUNDLED)
            shutil.rmtree(away)

        spent = _count_children()
        written = time_it(lambda: write_bundle(home, commit, BUNDLED, path))
        spent = (_count_children() - spent) / ROUNDS
        return Bundle(path.stat().st_size, written, spent, time_it(fetch))


def _count_children() -> float:
    """Return the processor's seconds of all processes that we have started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


@contextmanager
def serving_prefect() -> Iterator[int]:
    """Run a Prefect server on SQLite that is the one to be asked; yield its process."""
    port = 4300 + os.getpid() % 1000
    address = f"http://127.0.0.1:{port}"
    # The settings of a thread are those of the context that it is given.
    with tempfile.TemporaryDirectory() as home:
        words = ("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
        server = start(*words, output=subprocess.DEVNULL, PREFECT_HOME=home, **SHORT)
        try:
            wait_for(f"{address}/api/health", server)
            with temporary_settings({PREFECT_API_URL: f"{address}/api"}):
                yield server.pid
        finally:
            server.terminate()
            server.wait()


@flow
def stage() -> None:
    """Stand in for a stage that is placed."""


def add_child(client: SyncPrefectClient) -> FlowRun:
    """Return a flow run that stands in for a stage that runs elsewhere."""
    return client.create_flow_run(stage, state=Running())


def make_look(client: SyncPrefectClient, child: FlowRun) -> Callable[[], object]:
    """Return what a sender does twice a second for each stage that it has placed."""
    return partial(Follower(client, child, "", _ignore).look, _ignore)


def _ignore(words: str) -> None: ...


def look_at_all(client: SyncPrefectClient, children: Sequence[FlowRun]) -> None:
    """Ask a sender's questions once, for all children."""
    numbers = [child.id for child in children]
    client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=numbers)))
    client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=numbers)), limit=200)


class Call(NamedTuple):
    """What a call of the server takes."""

    seconds: float  # median, one after the other
    server_s: float  # of the server's processor
    client_s: float  # of ours


def measure_server(process: int, calls: int = 60) -> tuple[Call, Call, Call]:
    """Return what a look at a child takes, one at TOGETHER of them, and a change of state.

    Args:
        process: the server's.
    """
    with get_client(sync_client=True) as client:
        children = [add_child(client) for _ in range(TOGETHER)]
        first = children[0]
        acts: tuple[Callable[[], object], ...] = (
            make_look(client, first),
            lambda: look_at_all(client, children),
            lambda: client.set_flow_run_state(first.id, Running(), force=True),
        )
        look, together, write = (_measure_call(process, act, calls) for act in acts)
        return look, together, write


def _measure_call(process: int, call: Callable[[], object], calls: int) -> Call:
    server, ours = _count_processor(process), time.process_time()
    seconds = time_it(call, calls)
    server, ours = _count_processor(process) - server, time.process_time() - ours
    return Call(seconds, server / calls, ours / calls)


def follow(count: int, seconds: float) -> tuple[float, float, float]:
    """Follow so many children at once, a thread each, as senders do.

    Returns:
        Looks a second, how many there should be, and seconds of this processor for each.
    """
    stop, looks = threading.Event(), [0] * count
    with get_client(sync_client=True) as client:
        children = [add_child(client) for _ in range(count)]

        def watch(number: int) -> None:
            with get_client(sync_client=True) as own:
                look = make_look(own, children[number])
                while not stop.is_set():
                    look()
                    looks[number] += 1
                    stop.wait(POLL_S[0])

        with ThreadPoolExecutor(count) as pool:
            futures = [pool.submit(copy_context().run, watch, number) for number in range(count)]
            time.sleep(seconds / 2)  # until all have begun
            before, spent, started = sum(looks), time.process_time(), time.perf_counter()
            time.sleep(seconds)
            done, passed = sum(looks) - before, time.perf_counter() - started
            spent = time.process_time() - spent
            stop.set()
            for future in futures:
                future.result()
    return done / passed, count / POLL_S[0], spent / max(1, done)


class _Nothing(BaseHTTPRequestHandler):
    """A remote that has no object at all."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


def measure_queries(count: int = 2_000) -> float:
    """Return this processor's seconds for asking a remote over HTTP whether an object is there."""
    command = [sys.executable, "-m", "benchmarks.scale_costs"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as remote:
        assert remote.stdout
        address = remote.stdout.readline().strip()
        try:
            store = ObjectDB(HTTPFileSystem(url=address), f"{address}/files")
            names = [f"{number:032x}" for number in range(count)]
            spent = time.process_time()
            assert not [*store.oids_exist(names)]  # type: ignore[no-untyped-call]
            return (time.process_time() - spent) / count
        finally:
            remote.terminate()


class Seen(NamedTuple):
    """What was measured, as it is told."""

    git: dict[int, tuple[float, float]]  # seconds of a push and a fetch, by references
    look: Call
    together: Call  # a look at TOGETHER of them
    write: Call
    followed: dict[int, tuple[float, float, float]]  # see `follow`, by children
    query_s: float
    bundle: Bundle

    def get_costs(self) -> Costs:
        (least, few), (most, many) = min(self.git.items()), max(self.git.items())
        return Costs(
            push_s=few[0],
            push_per_ref_s=max(0.0, many[0] - few[0]) / (most - least),
            fetch_s=few[1],
            look_s=self.look.server_s,
            ask_s=self.look.client_s,
            write_s=self.write.server_s,
            query_s=self.query_s,
            bundle_s=self.bundle.write_cpu_s,
        )

    def get_costs_together(self) -> Costs:
        """Return what it would cost if a sender asked about all its stages at once."""
        look_s, ask_s = (each / TOGETHER for each in self.together[1:])
        return replace(self.get_costs(), look_s=look_s, ask_s=ask_s)


def measure(children: Sequence[int], seconds: float = 10.0) -> Seen:
    """Measure everything.

    Args:
        children: how many to follow at once, each in turn.
        seconds: for each of them.
    """
    references, query_s = measure_git(), measure_queries()
    with serving_prefect() as server:
        look, together, write = measure_server(server)
        followed = {count: follow(count, seconds) for count in children}
    return Seen(references, look, together, write, followed, query_s, measure_bundle())


def _count_processor(process: int) -> float:
    """Return the processor's seconds of a process and of those that it has started."""
    root = psutil.Process(process)
    times = [each.cpu_times() for each in [root, *root.children(recursive=True)]]
    return sum(each.user + each.system for each in times)


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), _Nothing) as nothing:
        print(f"http://127.0.0.1:{nothing.server_port}", flush=True)
        nothing.serve_forever()
