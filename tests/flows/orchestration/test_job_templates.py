"""The jobs that Prefect's workers make of our templates, as Kubernetes and Docker take them."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import kubernetes_asyncio.client
import pytest
import yaml
from docker.models.containers import _create_container_args
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.workers.base import BaseJobConfiguration
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration
from pydantic import ConfigDict

from flows.orchestration.deployments import JOB_TEMPLATE
from tests.projects import ROOT

pytestmark = pytest.mark.usefixtures("prefect_server")

DOCKER_TEMPLATE = JOB_TEMPLATE.with_name("docker-job.json")
TYPES = {"str": str, "int": int, "bool": bool, "object": object}
# Prefect demands both there; Kubernetes ignores them.
PREFECTS = ["V1PodSpec.completions is unknown", "V1PodSpec.parallelism is unknown"]


class DockerJob(BaseJobConfiguration):
    """What prefect-docker makes of a template, with all of its keys."""

    model_config = ConfigDict(extra="allow")


def render(**variables: Any) -> dict[str, Any]:
    """Return the job that a Kubernetes worker makes of our template."""
    template = json.loads(JOB_TEMPLATE.read_text())
    make = KubernetesWorkerJobConfiguration.from_template_and_values
    configuration = asyncio.run(make(template, variables, client=get_client()))
    configuration.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="night"))
    return dict(configuration.job_manifest)


def get_pod(job: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    return pod, container


def find_faults(value: Any, kind: str) -> Iterator[str]:
    """Yield what Kubernetes' API would refuse in a manifest, by the schema of its client.

    Args:
        kind: as that schema names it: V1Job, list[str], dict(str, str) ...
    """
    if kind.startswith("list["):
        for item in value:
            yield from find_faults(item, kind[5:-1])
    elif kind.startswith("dict("):
        for item in value.values():
            yield from find_faults(item, kind[5:-1].partition(", ")[2])
    elif kind in TYPES:
        if not isinstance(value, TYPES[kind]):
            yield f"{value!r} is no {kind}"
    else:
        yield from find_faults_of_model(value, kind)


def find_faults_of_model(value: Any, kind: str) -> Iterator[str]:
    model = getattr(kubernetes_asyncio.client, kind)
    names = {key: name for name, key in model.attribute_map.items()}
    yield from (f"{kind}.{key} is unknown" for key in value if key not in names)
    known = {names[key]: item for key, item in value.items() if key in names}
    try:
        model(**known)
    except ValueError as error:  # a required key is missing, or a value out of its choices
        yield f"{kind}: {error}"
    for name, item in known.items():
        if kind == "V1ResourceRequirements":  # quantities may be numbers
            item = {key: str(number) for key, number in item.items()}
        yield from find_faults(item, model.openapi_types[name])


CLAIM = {"name": "project", "persistentVolumeClaim": {"claimName": "results"}}
JOBS: list[dict[str, Any]] = [
    {},
    {"gpus": 4, "memory": "64Gi", "node_selector": {"gpu": "h100"}, "namespace": "vision"},
    {"gpus": 0, "git": "https://git.example.org/project.git", "remote": "s3://results/cache"},
    {"volume": CLAIM, "service_account_name": "trainer", "env": {"PIPELINE_GPUS": "2"}},
]


@pytest.mark.parametrize("variables", JOBS, ids=str)
def test_kubernetes_takes_the_job(variables: dict[str, Any]) -> None:
    job = render(image="image", **variables)
    assert "{{" not in json.dumps(job)
    assert list(find_faults(job, "V1Job")) == PREFECTS


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"gpu": 1}, "V1Container.gpu is unknown"),
        ({"image": 3}, "3 is no str"),
        ({"name": None}, "V1Container: Invalid value for `name`, must not be `None`"),
    ],
)
def test_a_fault_in_a_job_is_found(damage: dict[str, Any], said: str) -> None:
    job = render(image="image")
    get_pod(job)[1].update(damage)
    assert said in list(find_faults(job, "V1Job"))


def test_a_stage_gets_its_gpus_memory_and_node_and_needs_no_claim() -> None:
    pod, container = get_pod(
        render(image="image", gpus=4, memory="64Gi", node_selector={"gpu": "h100"})
    )
    assert container["resources"]["limits"] == {"memory": "64Gi", "nvidia.com/gpu": 4}
    assert pod["nodeSelector"] == {"gpu": "h100"}
    assert pod["volumes"][0] == {"name": "project", "emptyDir": {}}
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_a_stage_runs_as_no_one_in_particular_and_finds_its_project_and_remote() -> None:
    pod, container = get_pod(
        render(
            image="image",
            git="https://git.example.org/project.git",
            remote="s3://results/cache",
            env={"PIPELINE_GPUS": "2"},
            command="python -m prefect.engine",
        )
    )
    assert pod["securityContext"]["runAsNonRoot"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    found = {entry["name"]: entry["value"] for entry in container["env"]}
    assert found["PIPELINE_GIT"] == "https://git.example.org/project.git"
    assert found["PIPELINE_REMOTE"] == "s3://results/cache"
    assert found["PIPELINE_GPUS"] == "2"
    assert found["PREFECT__FLOW_RUN_ID"]
    assert container["args"] == ["python", "-m", "prefect.engine"]
    assert "command" not in container  # so that the image's own entry point begins


def test_the_deployment_for_a_cluster_mounts_its_claim() -> None:
    entries = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    [variables] = [
        entry["work_pool"]["job_variables"] for entry in entries if entry["name"] == "kubernetes"
    ]
    pod, container = get_pod(render(**variables))
    claim = {"claimName": "image-classification"}
    assert {"name": "project", "persistentVolumeClaim": claim} in pod["volumes"]
    assert container["workingDir"] == "/project"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1


def render_for_docker(**variables: Any) -> dict[str, Any]:
    """Return what docker-py sends to Docker for our template."""
    template = json.loads(DOCKER_TEMPLATE.read_text())
    make = DockerJob.from_template_and_values
    job = asyncio.run(make(template, variables, client=get_client())).model_dump()
    assert "{{" not in json.dumps(job)
    wanted = {key: job[key] for key in ("image", "network_mode", "volumes", "mem_limit")}
    wanted |= {"environment": job["env"], "memswap_limit": job["memswap_limit"]}
    wanted |= {"auto_remove": job["auto_remove"], "version": "1.41"}
    return dict(_create_container_args(wanted | job["container_create_kwargs"]))


def test_docker_takes_the_container_with_all_gpus() -> None:
    sent = render_for_docker(image="image", git="https://git.example.org/project.git", memory="8g")
    host = sent["host_config"]
    assert host["DeviceRequests"][0]["Capabilities"] == [["gpu"]]
    assert host["Memory"] == host["MemorySwap"] == 8 * 2**30
    assert host["ShmSize"] == 2**30
    assert host["Binds"] == ["image-classification-cache:/cache"]
    assert host["CapDrop"] == ["ALL"]
    assert sent["environment"]["PIPELINE_GIT"] == "https://git.example.org/project.git"


def test_docker_gives_no_device_where_none_is_wanted() -> None:
    assert not render_for_docker(image="image", devices=[])["host_config"]["DeviceRequests"]
