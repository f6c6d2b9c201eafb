"""Over S3 and over SSH, a placed stage gives what it gives at home, and moves what is missing."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL

from flows.orchestration.server import limit_gpu_stages
from flows.placing.pools import register_pools
from tests.flows.placing.conftest import POOL, Site, ending, read_lock, run, start_worker
from tests.flows.placing.servers import S3, SECRET, SSH, Remote, serve
from tests.flows.toy import dvc, git, read_times

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.server, pytest.mark.slow]

PLACE = [f"train={POOL}"]


@pytest.fixture(scope="module", params=[S3, SSH], ids=lambda kind: kind.kind)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Remote]:
    folder = tmp_path_factory.mktemp("remote") / request.param.kind
    with serve(request.param(folder)) as started, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield started


@pytest.fixture(scope="module")
def site(
    hub: Path, prefect_server: None, server: Remote, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A site whose objects lie with the server; a worker that may use it serves the pool."""
    site = Site(Path(shutil.copytree(hub, tmp_path_factory.mktemp("site") / "site")))
    server.share(site.folder / "hub.git")
    limit_gpu_stages(1)
    register_pools([POOL])
    server.admit(site.clone("worker"))
    with ending(start_worker(site.worker)):
        yield site


@pytest.fixture
def home(site: Site, server: Remote, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of the test's own, let in by the environment where that can be."""
    clone = site.clone("home")
    monkeypatch.chdir(clone)
    if isinstance(server, S3):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.secrets["access_key_id"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secrets["secret_access_key"])
    else:
        server.admit(clone)
    return clone


def test_a_placed_stage_gives_the_bytes_of_a_local_run_and_moves_what_is_missing(
    site: Site, server: Remote, home: Path, finished: Path, warm_python: None
) -> None:
    sizes = [(finished / f"{name}.txt").stat().st_size for name in ("fetch", "train-slow")]
    assert run("one", targets=["train@slow"], place=PLACE).is_completed()
    assert server.count_moved() == (sum(sizes), sum(sizes))
    assert run("all", place=PLACE).is_completed()
    assert set(read_times(home)) == {"fetch", "count@one", "count@two", "report"}
    assert read_lock(home) == read_lock(finished)
    for out in finished.glob("*.txt"):
        assert (home / out.name).read_bytes() == out.read_bytes()
    assert "up to date" in dvc(home, "status")
    assert git(home, "ls-remote", "origin", "refs/pipeline/*") == ""
    assert run("again", place=PLACE).message == "0 of 6 stages ran"
    assert server.count_moved() == (sum(sizes), sum(sizes))  # train@quick gives the same bytes
    assert find_traces(server, site) == []


def find_traces(server: Remote, site: Site) -> list[str]:
    """Return where else than in .dvc/config.local a secret of the remote lies."""
    secrets = [SECRET, *server.secrets.values()]
    [database] = re.findall(":///(.*)", str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value()))
    places = [*site.folder.rglob("*"), *Path(database).parent.glob("*.db*")]
    texts = {str(path): path.read_bytes() for path in places if path.is_file()}
    texts |= {
        f"{clone.name} in git": subprocess.check_output(
            ["git", "cat-file", "--batch-all-objects", "--batch"], cwd=clone
        )
        for clone in site.folder.iterdir()
        if clone.is_dir() and clone.name != "store"
    }
    return [
        name
        for name, text in texts.items()
        if not name.endswith("config.local") and any(each.encode() in text for each in secrets)
    ]
