import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.flows.toy import dvc, git, make_toy

# Before prefect is imported anywhere: no telemetry, and no 10 s between looks for a free slot.
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_TASK_RUN_TAG_CONCURRENCY_SLOT_WAIT_SECONDS"] = "0.5"


@pytest.fixture(scope="session")
def fresh(warm: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project with no stage run; to be copied."""
    folder = tmp_path_factory.mktemp("fresh")
    make_toy(folder)
    return folder


@pytest.fixture(scope="session")
def finished(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project with every stage run; to be copied."""
    folder = tmp_path_factory.mktemp("finished") / "toy"
    shutil.copytree(fresh, folder)
    dvc(folder, "repro", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Run")
    return folder


@pytest.fixture
def new_toy(fresh: Path, tmp_path: Path) -> Path:
    """A toy project of one's own with no stage run."""
    return Path(shutil.copytree(fresh, tmp_path / "new-toy"))


@pytest.fixture
def toy(finished: Path, tmp_path: Path) -> Path:
    """A toy project of one's own with every stage run."""
    return Path(shutil.copytree(finished, tmp_path / "toy"))


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server of the tests' own, shared by them."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def prefect_home(prefect_server: None, tmp_path: Path) -> Path:
    """A folder for the records of another server, with tables made: that takes it seconds."""
    from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL

    url = PREFECT_SERVER_DATABASE_CONNECTION_URL.value()
    folder = tmp_path / "prefect-home"
    folder.mkdir()
    with (
        closing(sqlite3.connect(str(url).partition(":///")[2])) as theirs,
        closing(sqlite3.connect(folder / "prefect.db")) as ours,
    ):
        theirs.backup(ours)
        for table in (
            "flow_run",
            "concurrency_limit_v2",
            "deployment",
            "work_pool",
            "block_document",
        ):
            ours.execute(f"delete from {table}")
        ours.commit()
    return folder
