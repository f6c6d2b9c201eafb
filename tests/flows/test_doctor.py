from collections.abc import Iterator
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from flows.doctor import BAD, GOOD, NOTE, check_server
from flows.server import GPU_TAG, limit_gpu_stages, read_gpu_slots

LIMIT = f"tag:{GPU_TAG}"


@pytest.fixture
def lease(prefect_server: None) -> Iterator[UUID]:
    """A slot of the GPU limit that no running stage holds."""
    limit_gpu_stages(1)
    with get_client(sync_client=True) as client:
        taken = client.increment_concurrency_slots_with_lease(
            names=[LIMIT], slots=1, mode="concurrency", lease_duration=60
        )
        yield UUID(taken.json()["lease_id"])
        client.delete_global_concurrency_limit_by_name(LIMIT)


@pytest.mark.server
def test_a_stuck_gpu_slot_is_found_and_freed(lease: UUID) -> None:
    with get_client(sync_client=True) as client:
        assert (BAD, "GPU slots: 1 taken, 0 in use: pipeline doctor --fix frees them") in list(
            check_server(fix=False)
        )
        assert read_gpu_slots(client) == (1, 1)
        assert (GOOD, "GPU slots: 1 that no run held are free again") in list(
            check_server(fix=True)
        )
        assert read_gpu_slots(client) == (1, 0)


@pytest.mark.server
def test_a_server_without_a_gpu_limit_gets_a_note(prefect_server: None) -> None:
    with get_client(sync_client=True) as client, pytest.raises(ObjectNotFound):
        client.read_global_concurrency_limit_by_name(LIMIT)
    marks = [mark for mark, text in check_server(fix=False) if "not limited" in text]
    assert marks == [NOTE]
