"""Register what prefect.yaml has with a Prefect server, and take nothing that is another's."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound

from flows.orchestration.notices import name_automation, tell_of_failures
from flows.orchestration.reach import check_answer
from flows.orchestration.server import limit_gpu_stages, make_environment, read_gpu_slots
from vision.base.errors import PipelineError

FLOW = "pipeline"
POOL = "local"
JOB_TEMPLATE = Path(__file__).with_name("kubernetes-job.json")
OF_OUR_TEMPLATE = {"claim", "volume"}  # variables: of the one before, of the one now
POOL_TYPES = {POOL: "process", "kubernetes": "kubernetes"}
POOL_OPTIONS = {"kubernetes": ("--base-job-template", str(JOB_TEMPLATE))}


def deploy(names: list[str], take_over: bool = False, notify: str | None = None) -> None:
    """Create pools and the GPU limit, and register deployments of prefect.yaml.

    Args:
        names: of the deployments; none: all that a worker on this machine can run.
        take_over: also those that another folder registered.
        notify: URL of a webhook that is told of a scheduled run that fails, crashes or is late.

    Raises:
        PipelineError: prefect.yaml has no such deployment; another folder has registered it; a pool
            is of another type.
    """
    pools = read_pools()
    for name in names:
        if name not in pools:
            raise PipelineError(f"no deployment {name!r} in prefect.yaml, only {', '.join(pools)}")
    chosen = names or [name for name, pool in pools.items() if pool == POOL]
    needed = sorted({pools[name] for name in chosen})
    with get_client(sync_client=True) as client:
        if not take_over:
            check_owners(client, chosen)
        missing = [pool for pool in needed if is_to_be_made(client, pool)]
        limited = read_gpu_slots(client)
    if not limited:
        limit_gpu_stages()
    for pool in missing:
        options = ("--type", POOL_TYPES[pool], *POOL_OPTIONS.get(pool, ()))
        run_prefect("work-pool", "create", pool, "--overwrite", *options)
    run_prefect("--no-prompt", "deploy", *(word for name in chosen for word in ("--name", name)))
    for name in set(chosen) & list_scheduled():
        with get_client(sync_client=True) as client:
            if notify:
                tell_of_failures(client, name, notify)
            elif not client.read_automations_by_name(name_automation(name)):
                print(f"no one is told when {name} fails: pipeline deploy --notify URL")


def list_scheduled() -> set[str]:
    """Return the deployments of prefect.yaml that have a schedule."""
    return {entry["name"] for entry in _read_deployments() if "schedules" in entry}


def read_pools() -> dict[str, str]:
    """Return the work pool of each deployment in prefect.yaml."""
    return {entry["name"]: entry["work_pool"]["name"] for entry in _read_deployments()}


def _read_deployments() -> list[dict[str, Any]]:
    return list(yaml.safe_load(Path("prefect.yaml").read_text())["deployments"])


def check_owners(client: SyncPrefectClient, names: list[str]) -> None:
    """See that no other folder has registered deployments of these names.

    Raises:
        PipelineError: one has.
    """
    here = str(Path.cwd())
    for name in names:
        owner = find_owner(client, name)
        if owner not in (None, here) and not _has_moved(client, str(owner)):
            way_out = "end its deployments, use another server, or pipeline deploy --take-over"
            raise PipelineError(
                f"{client.api_url} has the deployment {name} of {owner or 'another project'}, "
                f"which this one would replace: {way_out}"
            )


def _has_moved(client: SyncPrefectClient, owner: str) -> bool:
    """Say whether a folder was on this machine, as the server is, and is there no more."""
    is_here = httpx.URL(str(client.api_url)).host in ("127.0.0.1", "localhost")
    return is_here and bool(owner) and not Path(owner).exists()


def find_owner(client: SyncPrefectClient, name: str) -> str | None:
    """Return the folder that registered a deployment, "" if none is noted; None: there is none."""
    try:
        deployment = client.read_deployment_by_name(f"{FLOW}/{name}")
    except ObjectNotFound:
        return None
    if Path(deployment.version or "").is_absolute():
        return deployment.version
    return _find_folder(deployment)


def _find_folder(deployment: DeploymentResponse) -> str:
    """Return the folder in which a deployment's runs work."""
    folders = [
        str(options["directory"])
        for step in deployment.pull_steps or []
        for options in step.values()
        if isinstance(options, dict) and "directory" in options
    ]
    return folders[-1] if folders else ""


def is_to_be_made(client: SyncPrefectClient, name: str) -> bool:
    """Say whether a pool is to be made or, with a job template of ours, brought up to date.

    Raises:
        PipelineError: it is there, and of another type.
    """
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        return True
    if found.type != POOL_TYPES[name]:
        way_out = "rename it there, or give the deployment another pool in prefect.yaml"
        raise PipelineError(
            f"the pool {name} of {client.api_url} is of type {found.type}: {way_out}"
        )
    known: dict[str, Any] = found.base_job_template.get("variables", {}).get("properties", {})
    return name in POOL_OPTIONS and bool(known.keys() & OF_OUR_TEMPLATE)


def run_prefect(*arguments: str) -> None:
    """Run a command of Prefect's, and show what it says.

    Raises:
        PipelineError: it fails; where the server is away, that is said in place of its traceback.
    """
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        env=make_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        check_answer()
    print(done.stdout, end="", flush=True)
    if done.returncode:
        raise PipelineError(f"prefect {' '.join(arguments)} failed: see above")
