"""Clones of the toy project that share a git remote and a DVC remote, and workers in them."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import PREFECT_API_URL

from flows.pipeline import pipeline
from flows.placing.pools import register_pools
from tests.flows.commands.typed import Typed, type_pipeline
from tests.flows.toy import dvc, git, wait_until

POOL = "there"


@dataclass(frozen=True)
class Site:
    """Where clones meet: a bare git repository and a folder for DVC's objects."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def worker(self) -> Path:
        """The clone in which a worker serves."""
        return self.folder / "worker"

    def clone(self, name: str) -> Path:
        """Return a clone with an empty cache of its own."""
        git(self.folder, "clone", "--quiet", "hub.git", name)
        for key in ("user.name", "user.email"):
            git(self.folder / name, "config", key, "test@example.org")
        return self.folder / name


@pytest.fixture(scope="session")
def hub(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with the toy project, no stage run; to be copied."""
    folder = tmp_path_factory.mktemp("hub")
    first = Path(shutil.copytree(fresh, folder / "first"))
    dvc(first, "remote", "add", "--default", "store", "../store")
    git(first, "commit", "--quiet", "--all", "--message", "Share")
    git(folder, "clone", "--quiet", "--bare", "first", "hub.git")
    shutil.rmtree(first)
    return folder


@pytest.fixture
def site(hub: Path, tmp_path: Path) -> Site:
    """A site of one's own."""
    return Site(Path(shutil.copytree(hub, tmp_path / "site")))


@pytest.fixture(scope="module")
def served(
    hub: Path, prefect_server: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A site in which a worker serves the pool from a clone, shared by a module's tests."""
    site = Site(Path(shutil.copytree(hub, tmp_path_factory.mktemp("served") / "site")))
    register_pools([POOL])
    with ending(start_worker(site.clone("worker"))):
        yield site


def start_worker(clone: Path, **environment: str) -> Typed:
    """Start a worker in a clone, and wait until it is there."""
    environment["PREFECT_API_URL"] = str(PREFECT_API_URL.value())
    worker = type_pipeline(clone, "work", POOL, **environment)
    try:
        wait_until(lambda: "started!" in worker.read() or worker.process.poll() is not None)
        assert worker.process.poll() is None, worker.read()
    except AssertionError:  # it would take the stages of the next test
        kill_all(worker)
        raise
    return worker


@contextlib.contextmanager
def ending(typed: Typed) -> Iterator[Typed]:
    """Yield a command that ends with the block at the latest."""
    try:
        yield typed
    finally:
        typed.process.terminate()
        typed.process.wait()


def kill_all(worker: Typed) -> None:
    """Kill a worker and all that it has started, at once, as when its machine goes."""
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(worker.process.pid)
        for process in [first, *first.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    worker.process.wait()


def find_at_work(clone: Path) -> list[str]:
    """Return the command lines of what works in the trees of a clone."""
    trees, found = clone / ".dvc/tmp/trees", []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it ended while we looked
            if Path(process.cwd()).is_relative_to(trees):
                found.append(" ".join(process.cmdline()))
    return found


def read_runs(stage: str) -> list[FlowRun]:
    """Return the runs of a stage in pools, the newest last."""
    wanted = FlowRunFilter(tags=FlowRunFilterTags(all_=[stage]))
    with get_client(sync_client=True) as client:
        runs: list[FlowRun] = client.read_flow_runs(flow_run_filter=wanted)
    return sorted(runs, key=lambda run: str(run.created))


def run(name: str, **parameters: Any) -> State[Any]:
    flow = pipeline.with_options(flow_run_name=name)
    return flow(return_state=True, **parameters)  # type: ignore[no-any-return]


def read_lock(clone: Path) -> dict[str, str]:
    """Return the text of each stage in dvc.lock; they stand in the order in which they ended."""
    _, *stages = re.split(r"^  (?=\S)", (clone / "dvc.lock").read_text(), flags=re.MULTILINE)
    return dict(text.split(":\n", 1) for text in stages)
