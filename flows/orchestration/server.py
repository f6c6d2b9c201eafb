"""What the flows need of a Prefect server: limits, pools and deployments, set up once."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound

from flows.engine import supervisor
from vision.base.errors import PipelineError

GPU_TAG = "gpu"
POOL = "local"
JOB_TEMPLATE = Path(__file__).with_name("kubernetes-job.json")
POOL_OPTIONS = {
    POOL: ("--type", "process"),
    "kubernetes": ("--type", "kubernetes", "--base-job-template", str(JOB_TEMPLATE)),
}
START_S = 120
# Leases in files survive a restart of the server; those in memory hold their slot for good.
LEASES = "prefect.server.concurrency.lease_storage"
SERVER_SETTINGS = {
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": f"{LEASES}.filesystem",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


def limit_gpu_stages(count: int = 1) -> None:
    """Let at most `count` stages tagged `gpu` run at once, over all flow runs of the server."""
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name=f"tag:{GPU_TAG}", limit=count)


def read_gpu_slots(client: SyncPrefectClient) -> tuple[int, int] | None:
    """Return the limit of stages tagged `gpu` and how many slots are taken; None: no limit."""
    try:
        limit = client.read_global_concurrency_limit_by_name(f"tag:{GPU_TAG}")
    except ObjectNotFound:
        return None
    return limit.limit, limit.active_slots


def deploy(names: list[str]) -> None:
    """Create pools and the GPU limit, and register deployments of prefect.yaml.

    Args:
        names: of the deployments; none: all that a worker on this machine can run.

    Raises:
        PipelineError: prefect.yaml has no such deployment.
    """
    pools = read_pools()
    for name in names:
        if name not in pools:
            raise PipelineError(f"no deployment {name!r} in prefect.yaml, only {', '.join(pools)}")
    chosen = names or [name for name, pool in pools.items() if pool == POOL]
    limit_gpu_stages()
    for pool in sorted({pools[name] for name in chosen}):
        run_prefect("work-pool", "create", pool, "--overwrite", *POOL_OPTIONS[pool])
    options = [option for name in chosen for option in ("--name", name)]
    run_prefect("--no-prompt", "deploy", *options)


def read_pools() -> dict[str, str]:
    """Return the work pool of each deployment in prefect.yaml."""
    deployments = yaml.safe_load(Path("prefect.yaml").read_text())["deployments"]
    return {entry["name"]: entry["work_pool"]["name"] for entry in deployments}


def run_prefect(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        env=make_environment(),
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise PipelineError(f"prefect {' '.join(arguments)} failed: see above")


def make_environment(**more: str) -> dict[str, str]:
    return {**SERVER_SETTINGS, **os.environ, **more, "PIPELINE_HOME": str(Path.cwd())}


def start(*arguments: str, **environment: str) -> subprocess.Popen[Any]:
    """Start a prefect command that ends, with all it started, when we do."""
    return subprocess.Popen(
        [sys.executable, "-I", supervisor.__file__, sys.executable, "-m", "prefect", *arguments],
        env=make_environment(**environment),
        stdin=subprocess.DEVNULL,
    )


def serve(port: int) -> None:
    """Run a server on loopback, the deployments and a worker until interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    address = f"http://127.0.0.1:{port}"
    server = ("server", "start", "--host", "127.0.0.1", "--port", str(port))
    pages = {"PREFECT_SERVER_UI_API_URL": f"{address}/api"}
    processes = [start(*server, **pages, PREFECT_LOGGING_SERVER_LEVEL="WARNING")]
    os.environ["PREFECT_API_URL"] = f"{address}/api"
    try:
        _wait_for_server(f"{address}/api/health", processes[0])
        deploy([])
        processes.append(start("worker", "start", "--pool", POOL))
        print(f"Prefect: {address} (Ctrl-C ends server and worker)", flush=True)
        while all(process.poll() is None for process in processes):
            time.sleep(0.5)
        raise PipelineError("the Prefect server or its worker ended: see above")
    except KeyboardInterrupt:
        print("stopping", flush=True)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait()


def _wait_for_server(url: str, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urlopen(url, timeout=2):
            return
        time.sleep(0.5)
    raise PipelineError(f"no Prefect server answers at {url}: is the port taken?")
