import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from flows.engine.dvc_settings import keep_site_cache
from flows.orchestration.server import GPU_TAG, limit_gpu_stages, read_gpu_slots
from flows.upkeep.doctor import check_site_cache, examine
from flows.upkeep.findings import bad, good
from flows.upkeep.records import check_server
from tests.flows.toy import dvc

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
        found = bad("GPU slots: 1 taken, 0 in use: pipeline doctor --fix frees them")
        assert found in list(check_server(fix=False))
        assert read_gpu_slots(client) == (1, 1)
        assert good("GPU slots: 1 that no run held are free again") in list(check_server(fix=True))
        assert read_gpu_slots(client) == (1, 0)


@pytest.mark.server
def test_a_slot_of_a_deployment_that_no_run_holds_is_freed(prefect_server: None) -> None:
    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("pipeline")
        number = client.create_deployment(flow, "dusk", concurrency_limit=1)
        try:
            client.increment_concurrency_slots([f"deployment:{number}"], 1, "concurrency")
            found = (
                "slots of the deployment dusk: 1 taken, 0 in use: pipeline doctor --fix frees them"
            )
            assert bad(found) in list(check_server(fix=False))
            freed = "slots of the deployment dusk: 1 that no run held are free again"
            assert good(freed) in list(check_server(fix=True))
            assert bad(found) not in list(check_server(fix=False))
        finally:
            client.delete_deployment(number)


@pytest.mark.server
def test_a_server_without_a_gpu_limit_gets_a_note(prefect_server: None) -> None:
    with get_client(sync_client=True) as client, suppress(ObjectNotFound):
        client.delete_global_concurrency_limit_by_name(LIMIT)  # that of another test
    found = list(check_server(fix=False))
    assert [mark for mark, text in found if "not limited" in text] == ["note"]
    lost = [text for _, text in found if "stay taken for good" in text]  # it has the default
    assert lost[0].endswith("LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem")


@pytest.fixture
def exposed() -> Iterator[Path]:
    """A folder that anyone can reach and write; pytest's own are out of others' reach."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def test_an_index_that_others_can_write_moves_to_a_folder_of_ones_own(
    new_toy: Path, monkeypatch: pytest.MonkeyPatch, exposed: Path
) -> None:
    monkeypatch.chdir(new_toy)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", "")  # where `make` did not set the environment up
    dvc(new_toy, "config", "--local", "core.site_cache_dir", str(exposed))
    (finding,) = check_site_cache(fix=False)
    assert finding.kind == "bad"
    assert str(exposed) in finding.text
    (finding,) = check_site_cache(fix=True)
    assert finding.kind == "ok"
    assert not list(check_site_cache(fix=False))
    dvc(new_toy, "status")
    kept = new_toy / ".dvc/tmp/site"
    assert list(kept.rglob("*.db"))
    assert kept.stat().st_mode & 0o777 == 0o700


def test_doctor_says_all_and_ends_with_1_where_something_is_bad(
    new_toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(new_toy)
    monkeypatch.setenv("PREFECT_API_URL", "")
    keep_site_cache(new_toy)
    assert examine(verify=True) == 0
    assert "objects of" in capsys.readouterr().out
    Path(".dvc/tmp/rwlock").write_text("{")
    assert examine() == 1
    assert " bad  " in capsys.readouterr().out
    assert examine(fix=True) == 0
