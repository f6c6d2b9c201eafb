"""A Prefect server that is killed as a command begins, or in its midst: waited for, or one line."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.engine.patience import AwayError
from flows.orchestration import reach, recording
from flows.pipeline import pipeline
from flows.placing.pools import register_pools
from tests.flows.commands.typed import type_pipeline
from tests.flows.line import Line
from tests.flows.placing.servers import Prefect, serve
from tests.flows.test_sweep import add_score
from tests.flows.toy import wait_until
from tests.projects import ROOT

pytestmark = [pytest.mark.server, pytest.mark.slow]

# What a sweep asks first: two of itself, then one of its experiment, which is a flow within it.
BEGINNING = (b"POST /api/flows/ ", b"/set_state ", b"POST /api/task_runs/ ")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    with serve(Prefect(tmp_path_factory.mktemp("server") / "prefect")) as server:
        yield server


@pytest.fixture
def server(started: Prefect) -> Prefect:
    """A server that runs, also where the test before has killed it."""
    if started.process.poll() is not None:
        started.start()
    return started


class Doom:
    """Kills a server as it is about to be asked some things, one after the other.

    Args:
        spared: how often it may be asked the first before.
    """

    def __init__(self, server: Prefect, *moments: bytes, spared: int = 0) -> None:
        self.server, self.moments, self.spared = server, [*moments], spared
        self.line = Line(server.port, self.listen)
        self.url = f"http://127.0.0.1:{self.line.port}/api"

    def listen(self, data: bytes) -> None:
        if not self.moments or self.moments[0] not in data:
            return
        self.spared -= 1
        if self.spared < 0:
            del self.moments[0]
            self.line.cut()
            self.server.kill()


def test_a_server_that_is_killed_as_runs_begin_is_waited_for(server: Prefect, toy: Path) -> None:
    add_score(toy)
    doom = Doom(server, *BEGINNING)
    metric = ("--metric", "models.toy.val_accuracy")
    words = ("sweep", "--grid", "report.seconds=0.01", "--name", "late", *metric)
    typed = type_pipeline(toy, *words, PREFECT_API_URL=doom.url)
    for _ in BEGINNING:
        ended = (server.process, typed.process)
        wait_until(lambda ended=ended: any(each.poll() is not None for each in ended))  # type: ignore[misc]
        assert typed.process.poll() is None, typed.read()
        server.start()
        doom.line.mend()
    assert typed.process.wait(120) == 0, typed.read()
    assert not doom.moments
    assert re.search(rf"no Prefect server at {doom.url} \((Connect|Read)Error", typed.read())
    assert "Traceback" not in typed.read()


def test_a_server_that_stays_away_is_one_line(
    server: Prefect, toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether it goes before a run or as it begins."""
    monkeypatch.chdir(toy)
    monkeypatch.setattr(reach, "AWAY_S", 1)
    monkeypatch.setattr(recording, "BEGIN_S", 1)
    said = rf"no Prefect server at {server.url} \(ConnectError: .*\): start it, or unset"
    with temporary_settings({PREFECT_API_URL: server.url}):
        for begin in (server.kill, lambda: pytest.fail("it was not looked for")):
            with pytest.raises(AwayError, match=said):
                run_pipeline(begin)
    assert re.fullmatch(rf"{said} PREFECT_API_URL: trying again\n", capsys.readouterr().err)


def run_pipeline(begin: Callable[[], object]) -> None:
    with reach.reach_server():
        begin()
        pipeline()


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        (("deploy",), b"POST /api/work_pools/ "),
        (("work", "there"), b"GET /api/work_pools/there "),
        (("doctor",), b"POST /api/flow_runs/filter "),
    ],
    ids=lambda each: each[0] if isinstance(each, tuple) else "",
)
def test_a_server_that_is_killed_amid_a_command_is_named_in_one_line(
    server: Prefect, toy: Path, words: tuple[str, ...], moment: bytes
) -> None:
    shutil.copy(ROOT / "prefect.yaml", toy)
    doom = Doom(server, moment)
    typed = type_pipeline(toy, *words, PREFECT_API_URL=doom.url, PREFECT_CLIENT_MAX_RETRIES="0")
    assert typed.process.wait(120) == 1
    assert not doom.moments
    assert f"no Prefect server at {doom.url} (" in typed.read().splitlines()[-1]
    assert "Traceback" not in typed.read()


def test_a_worker_that_gives_up_on_the_server_is_started_anew(server: Prefect, toy: Path) -> None:
    """It gives up at once where the server goes between our question for the pool and its own."""
    with temporary_settings({PREFECT_API_URL: server.url}):
        register_pools(["there"])
    doom = Doom(server, b"GET /api/work_pools/there ", spared=1)
    typed = type_pipeline(toy, "work", "there", PREFECT_API_URL=doom.url)
    wait_until(lambda: f"no Prefect server at {doom.url}" in typed.read())
    server.start()
    doom.line.mend()
    wait_until(lambda: "started!" in typed.read())
    typed.process.terminate()
    assert typed.process.wait(30) == 0
