"""What a worker that ends tells the server."""

import os
import subprocess
import sys

import psutil
import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Running

from flows.orchestration.signs import HOST, PROCESS, STARTED
from flows.placing.pools import FLOW
from flows.placing.working import bury_ended

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.server]


@flow(name=FLOW)
def stage() -> None:
    """Stand in for a stage that is placed."""


def sign_as(client: SyncPrefectClient, process: psutil.Process) -> FlowRun:
    """Return a run that is at work in a process."""
    run = client.create_flow_run(stage, state=Running())
    labels = {HOST: os.uname().nodename, PROCESS: process.pid, STARTED: process.create_time()}
    client.update_flow_run_labels(run.id, labels)
    return run


def test_stages_whose_process_ended_with_the_worker_are_known_for_crashed() -> None:
    with get_client(sync_client=True) as client:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as ended:
            runs = [sign_as(client, psutil.Process(each)) for each in (ended.pid, os.getpid())]
        bury_ended()
        states = [client.read_flow_run(run.id).state_name for run in runs]
    assert states == ["Crashed", "Running"]
