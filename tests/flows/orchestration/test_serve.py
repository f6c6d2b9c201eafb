"""A real server, pool and worker on loopback run the scheduled deployment on digits."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from prefect.client.base import PrefectHttpxSyncClient

from tests.browser import start_browser
from tests.projects import keep_models, repro, run, set_value

pytestmark = pytest.mark.server

WAIT_MS = 90_000


@pytest.fixture
def served(changed: Path, prefect_home: Path, tmp_path: Path) -> Iterator[str]:
    """The address of `pipeline serve` in the project."""
    keep_models(changed, ["two-layer-fc"], ["paper"])
    repro(changed)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: v for name, v in os.environ.items() if not name.startswith("PREFECT_")}
    environment["PREFECT_HOME"] = str(prefect_home)
    code = "import sys; sys.path.insert(0, '.'); from flows.cli import main; main()"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, "serve", "--port", str(port)],
            cwd=changed,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            said = f"export PREFECT_API_URL=http://127.0.0.1:{port}/api"
            wait_for(lambda: said in (tmp_path / "log").read_text(), 240)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
    print((tmp_path / "log").read_text())


def wait_for(condition: Any, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.5)
    return found


def post(address: str, path: str, **body: Any) -> Any:
    """Ask as Prefect's own client does: again where a busy server says 503."""
    with PrefectHttpxSyncClient(base_url=f"{address}/api/", timeout=30) as client:
        return client.post(path, json=body).json()


def test_the_scheduled_deployment_runs_and_shows_its_artifacts(served: str, changed: Path) -> None:
    set_value(changed, "baselines.two-layer-fc.learning_rate", 0.07)
    deployments = {found["name"]: found for found in post(served, "deployments/filter")}
    assert set(deployments) == {"nightly", "manual", "gpu"}
    nightly = deployments["nightly"]
    assert [schedule["active"] for schedule in nightly["schedules"]] == [True]
    wait_for(lambda: list_scheduled(served, nightly["id"]), 120)  # by Prefect's own scheduler

    state = {"type": "SCHEDULED", "name": "Scheduled"}
    flow_run = post(served, f"deployments/{nightly['id']}/create_flow_run", state=state)
    ended = wait_for(lambda: read_end(served, flow_run["id"]), 400)
    assert (ended["type"], ended["message"]) == (
        "COMPLETED",
        "5 of 13 stages ran: train-baselines@two-layer-fc, evaluate@two-layer-fc, "
        "robustness@two-layer-fc, explain@two-layer-fc, plot",
    )

    listed = {"flow_runs": {"id": {"any_": [flow_run["id"]]}}}
    artifacts = {found["key"]: found for found in post(served, "artifacts/filter", **listed)}
    assert {"plan", "results", "report", "report-html", "confusion-two-layer-fc"} <= set(artifacts)
    assert artifacts["progress-train-baselines-two-layer-fc"]["data"] == 100
    assert "digits" in artifacts["report"]["data"]
    assert "Record the run" in run(changed, "git", "log", "-1", "--format=%s", "nightly")
    assert "reports/figures/accuracy.png" in run(changed, "git", "show", "--name-only", "nightly")

    url = f"{served}/runs/flow-run/{flow_run['id']}"
    with start_browser() as browser, browser.new_page() as page:
        page.goto(url)
        page.get_by_text("Artifacts", exact=True).click(timeout=WAIT_MS)
        for key in ("plan", "results", "report", "confusion-two-layer-fc"):
            shown = page.get_by_text(key, exact=True).filter(visible=True)
            expect(shown.first).to_be_visible(timeout=WAIT_MS)


def list_scheduled(address: str, deployment: str) -> Any:
    return post(
        address,
        "flow_runs/filter",
        flow_runs={
            "deployment_id": {"any_": [deployment]},
            "state": {"type": {"any_": ["SCHEDULED"]}},
        },
    )


def read_end(address: str, flow_run: str) -> Any:
    [found] = post(address, "flow_runs/filter", flow_runs={"id": {"any_": [flow_run]}})
    state = found["state"]
    return state if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None
