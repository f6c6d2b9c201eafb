"""Tell someone of a night that failed, crashed or did not begin: an automation of Prefect's."""

from typing import cast
from uuid import UUID

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from vision.base.errors import PipelineError

BAD_ENDS = ("Failed", "Crashed", "TimedOut", "Late")
SUBJECT = "{{ flow_run.name }}: {{ flow_run.state.name }}"
BODY = (
    "{{ flow.name }}, {{ flow_run.name }}: {{ flow_run.state.name }}. {{ flow_run.state.message }}"
)


def name_automation(name: str) -> str:
    return f"pipeline/{name}: failed, crashed or late"


def tell_of_failures(client: SyncPrefectClient, name: str, url: str) -> None:
    """Have the server post `{"text": ...}` to a webhook when a deployment's run fails or is late.

    Raises:
        PipelineError: the URL is none.
    """
    if not url.startswith(("http://", "https://")):
        raise PipelineError(f"{url!r} is no webhook: write http://... or https://...")
    deployment = client.read_deployment_by_name(f"pipeline/{name}")
    block = CustomWebhookNotificationBlock(
        name=name,
        url=url,
        json_data={"text": "{{subject}}\n{{body}}"},
        headers=None,
        cookies=None,
    )
    number = cast(UUID, block.save(f"pipeline-{name}", overwrite=True))
    automation = AutomationCore(
        name=name_automation(name),
        trigger=EventTrigger(
            posture=Posture.Reactive,
            expect={f"prefect.flow-run.{end}" for end in BAD_ENDS},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={
                "prefect.resource.role": "deployment",
                "prefect.resource.id": f"prefect.deployment.{deployment.id}",
            },
            threshold=1,
        ),
        actions=[SendNotification(block_document_id=number, subject=SUBJECT, body=BODY)],
    )
    for old in client.read_automations_by_name(automation.name):
        client.delete_automation(old.id)
    client.create_automation(automation)
