"""Prefect's work pools for stages: `stage/POOL` is the deployment by which a pool runs them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound

from flows.engine.checks import DVC_FILE
from flows.orchestration.server import limit_gpu_stages, read_gpu_slots
from flows.placing.gpus import COUNT
from flows.placing.places import HOME, POOL
from vision.base.params import list_stages, read_yaml

FLOW = "stage"
ENTRYPOINT = "flows.placing.worker.stage"
PROJECT = "{{ $PIPELINE_HOME }}"  # the worker's own clone: `pipeline work` says where


def register_pools(pools: Sequence[str] = (), gpus: int | None = None) -> None:
    """Register `stage/POOL` for some pools, and for those that dvc.yaml names where none is given.

    Args:
        gpus: that each machine has; so many stages tagged `gpu` run at once.
    """
    with get_client(sync_client=True) as client:
        for pool in pools or list_pools():
            register(client, pool, gpus)
        limited = read_gpu_slots(client)
    if gpus is not None or not limited:
        limit_gpu_stages(gpus or 1)


def list_pools(root: Path = Path()) -> list[str]:
    """Return the pools that dvc.yaml names."""
    stages = list_stages(read_yaml(root / DVC_FILE))
    named = [
        ((stage.get("meta") or {}).get("prefect") or {}).get(POOL) for stage in stages.values()
    ]
    return sorted({pool for pool in named if pool and pool != HOME})


def register(client: SyncPrefectClient, pool: str, gpus: int | None = None) -> None:
    """Make a pool of processes, unless it is there, and its deployment `stage/POOL`.

    Args:
        gpus: that each machine of the pool has, to be dealt out to its stages.
    """
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
    variables: dict[str, Any] = {"command": "python -m prefect.engine"}  # at once, in the clone
    if gpus is not None:
        variables["env"] = {COUNT: str(gpus)}
    step = {"prefect.deployments.steps.set_working_directory": {"directory": PROJECT}}
    client.create_deployment(
        client.create_flow_from_name(FLOW),
        name=pool,
        work_pool_name=pool,
        entrypoint=ENTRYPOINT,
        pull_steps=[step],
        job_variables=variables,
        enforce_parameter_schema=False,
    )
