"""What the flows need of a Prefect server: its settings, its start, the limit of the GPU."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound

from flows.engine import supervisor

GPU_TAG = "gpu"
TAG = "tag:"  # with which the name of a tag's limit begins
GPU_LIMIT = f"{TAG}{GPU_TAG}"
# Leases in files survive a restart of the server; those in memory hold their slot for good.
LEASE_SETTING = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"
LEASES = "prefect.server.concurrency.lease_storage"
SERVER_SETTINGS = {
    LEASE_SETTING: f"{LEASES}.filesystem",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


def limit_gpu_stages(count: int = 1) -> None:
    """Let at most `count` stages tagged `gpu` run at once, over all flow runs of the server."""
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name=GPU_LIMIT, limit=count)


def read_gpu_slots(client: SyncPrefectClient) -> tuple[int, int] | None:
    """Return the limit of stages tagged `gpu` and how many slots are taken; None: no limit."""
    try:
        limit = client.read_global_concurrency_limit_by_name(GPU_LIMIT)
    except ObjectNotFound:
        return None
    return limit.limit, limit.active_slots


def make_environment(**more: str) -> dict[str, str]:
    return {**SERVER_SETTINGS, **os.environ, **more, "PIPELINE_HOME": str(Path.cwd())}


def start(*command: str, output: Any = None, **environment: str) -> subprocess.Popen[bytes]:
    """Start a Python module that ends, with all it started, when we do.

    Args:
        command: the module and its arguments.
        output: a file for what it says; None: where we say things.
    """
    return subprocess.Popen(
        [sys.executable, "-I", supervisor.__file__, sys.executable, "-m", *command],
        env=make_environment(**environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )
