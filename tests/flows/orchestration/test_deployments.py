import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Crashed, Failed, Late

from flows.orchestration.deployments import (
    POOL,
    POOL_TYPES,
    deploy,
    find_owner,
    read_pools,
)
from flows.orchestration.notices import tell_of_failures
from flows.orchestration.server import limit_gpu_stages, read_gpu_slots
from flows.orchestration.serving import serve
from tests.flows.toy import wait_until
from tests.projects import ROOT
from vision.base.errors import PipelineError

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))


def test_every_deployment_has_a_pool_that_we_can_create() -> None:
    assert set(read_pools().values()) == {POOL, "kubernetes"} == set(POOL_TYPES)


def test_an_unknown_deployment_is_named() -> None:
    with pytest.raises(PipelineError, match=r"'nigthly' in prefect.yaml, only nightly"):
        deploy(["nigthly"])


def test_deployments_are_registered_and_taken_from_no_other_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_gpu_stages(2)  # as someone with two has it
    deploy(["nightly", "kubernetes"])
    with get_client(sync_client=True) as client:
        found = {
            entry.name: entry
            for entry in client.read_deployments()
            if entry.name in ("nightly", "kubernetes")  # other tests of this server have theirs
        }
        assert read_gpu_slots(client) == (2, 0)
        assert {name: entry.work_pool_name for name, entry in found.items()} == {
            "nightly": POOL,
            "kubernetes": "kubernetes",
        }
        assert found["kubernetes"].job_variables["gpus"] == 1
        assert_someone_is_told_of_a_bad_end(client, found["nightly"].id)

        shutil.copy("prefect.yaml", tmp_path)  # another clone
        monkeypatch.chdir(tmp_path)
        for name in ("nightly", "kubernetes"):
            with pytest.raises(PipelineError, match=rf"{name} of {ROOT}, .* --take-over"):
                deploy([name])
        port = httpx.URL(str(client.api_url)).port
        with pytest.raises(PipelineError, match=f"port {port} is taken"):
            serve(int(port or 0), take_over=True)
        assert {find_owner(client, name) for name in found} == {str(ROOT)}
        for name in ("flows", "vision"):
            (tmp_path / name).symlink_to(ROOT / name)
        deploy(["nightly"], take_over=True)
        assert find_owner(client, "nightly") == str(tmp_path)


def assert_someone_is_told_of_a_bad_end(client: SyncPrefectClient, deployment: UUID) -> None:
    told: list[str] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Webhook) as webhook:
        threading.Thread(target=webhook.serve_forever, daemon=True).start()
        tell_of_failures(client, "nightly", f"http://127.0.0.1:{webhook.server_port}/")
        for state in (Failed, Crashed, Late, Completed):
            run = client.create_flow_run_from_deployment(deployment, name=f"{state.__name__}-night")
            client.set_flow_run_state(run.id, state(message="no room"), force=True)
        wait_until(lambda: len(told) == 3)
        webhook.shutdown()
    assert sorted(told) == [
        f"{end}-night: {end}\npipeline, {end}-night: {end}. no room"
        for end in ("Crashed", "Failed", "Late")
    ]
