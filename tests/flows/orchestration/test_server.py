import asyncio
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import kubernetes_asyncio.client
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

from flows.orchestration.server import (
    JOB_TEMPLATE,
    POOL,
    POOL_OPTIONS,
    deploy,
    read_gpu_slots,
    read_pools,
)
from tests.projects import ROOT
from vision.base.errors import PipelineError

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))


def render(**variables: Any) -> dict[str, Any]:
    """Return the job that a Kubernetes worker makes of our template."""
    template = json.loads(JOB_TEMPLATE.read_text())
    make = KubernetesWorkerJobConfiguration.from_template_and_values
    configuration = asyncio.run(make(template, variables, client=get_client()))
    configuration.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="night"))
    return dict(configuration.job_manifest)


@pytest.fixture
def job() -> dict[str, Any]:
    """The job that the deployment `kubernetes` asks for."""
    entries = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    pools = {entry["name"]: entry["work_pool"] for entry in entries}
    return render(**pools["kubernetes"]["job_variables"])


def find_unknown_keys(value: Any, kind: str) -> Iterator[str]:
    """Yield the keys of a manifest that Kubernetes' API does not know."""
    if kind.startswith("list["):
        for item in value:
            yield from find_unknown_keys(item, kind[5:-1])
    elif model := getattr(kubernetes_asyncio.client, kind, None):
        kinds = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
        for key, item in value.items():
            if key in kinds:
                yield from find_unknown_keys(item, kinds[key])
            else:
                yield f"{kind}.{key}"


def test_every_deployment_has_a_pool_that_we_can_create() -> None:
    assert set(read_pools().values()) == {POOL, "kubernetes"} == set(POOL_OPTIONS)


def test_an_unknown_deployment_is_named() -> None:
    with pytest.raises(PipelineError, match=r"'nigthly' in prefect.yaml, only nightly"):
        deploy(["nigthly"])


def test_the_job_asks_for_a_gpu_and_mounts_the_project(job: dict[str, Any]) -> None:
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["resources"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": 1}
    assert container["workingDir"] == "/project"
    assert container["volumeMounts"] == [{"name": "project", "mountPath": "/project"}]
    assert pod["volumes"] == [
        {"name": "project", "persistentVolumeClaim": {"claimName": "image-classification"}}
    ]
    assert container["args"] == ["prefect", "flow-run", "execute"]


def test_the_job_has_no_placeholder_left_and_no_key_that_kubernetes_does_not_know(
    job: dict[str, Any],
) -> None:
    assert "{{" not in json.dumps(job)
    assert list(find_unknown_keys(job, "V1Job")) == [
        "V1PodSpec.completions",  # Prefect demands both there; Kubernetes ignores them
        "V1PodSpec.parallelism",
    ]


def test_deployments_are_registered_with_their_pools_and_the_gpu_limit() -> None:
    deploy(["manual", "kubernetes"])
    with get_client(sync_client=True) as client:
        found = {entry.name: entry for entry in client.read_deployments()}
        limit = read_gpu_slots(client)
    assert {name: entry.work_pool_name for name, entry in found.items()} == {
        "manual": POOL,
        "kubernetes": "kubernetes",
    }
    assert found["kubernetes"].job_variables["gpus"] == 1
    assert limit == (1, 0)


def test_the_number_of_gpus_can_be_chosen() -> None:
    job = render(image="image", claim="claim", gpus=4)
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 4
